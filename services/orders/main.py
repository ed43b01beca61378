"""The orders service: its application and its process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.orders import imports, panels, reports, routes
from services.orders.models import Base
from services.orders.settings import DEFAULTS, Settings, Tuning
from shared.contracts.imports import BATCH_PATH, MAX_BATCH_BYTES
from shared.db.engine import is_outage
from shared.downloads.csv_export import Exporter
from shared.downloads.personal_data import export_route
from shared.http import application
from shared.http.panel_fast_path import PanelsFastPath
from shared.http.panel_route import Panels
from shared.observability.probes import metrics
from shared.outbox.relay import running
from shared.server import serve

SERVICE = "orders"
PANELS = Panels({"orders": panels.load_recent})


def create_app(settings: Settings | None = None, tuning: Tuning = DEFAULTS) -> FastAPI:
    """Create the application; settings come from the environment unless given."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(app, SERVICE, settings, tuning.lock_timeout_s):
            app.state.exporter = Exporter(settings)
            yield

    app = application.create_app(
        SERVICE,
        settings,
        lifespan=lifespan,
        routes=(
            routes.router,
            reports.router,
            export_route(Base),
            metrics,
            *PANELS.routes(),
            imports.route(),
        ),
        is_outage=is_outage,
        body_limits={BATCH_PATH: MAX_BATCH_BYTES},
    )
    app.fast_path = PanelsFastPath(app.state, PANELS)
    return app


def run(tuning: Tuning = DEFAULTS) -> None:
    """Serve until SIGTERM."""
    settings = Settings()
    serve.run(SERVICE, create_app(settings, tuning), settings)
