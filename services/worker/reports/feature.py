"""Reports as a feature of the worker."""

from services.worker.host import Host
from services.worker.reports import routes
from services.worker.settings import Settings, Tuning
from shared.downloads.personal_data import Part
from shared.feature import Feature

PERSONAL_DATA = (
    Part(
        "reports",
        "SELECT id, kind, first_day, last_day, created_at FROM reports WHERE user_id = $1 ORDER BY id",
    ),
)
ERASURE = ("DELETE FROM reports WHERE user_id = $1",)


def feature(_settings: Settings, _tuning: Tuning) -> Feature[Host]:
    return Feature(routes=(routes.router, routes.internal), personal_data=PERSONAL_DATA, erasure=ERASURE)
