"""Reports as a feature of the worker."""

from services.worker.host import Host
from services.worker.reports import routes
from services.worker.settings import Settings, Tuning
from shared.feature import Feature


def feature(_settings: Settings, _tuning: Tuning) -> Feature[Host]:
    return Feature(routes=(routes.router, routes.internal))
