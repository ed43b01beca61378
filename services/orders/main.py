"""The orders service: its application and its process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.orders import batch, export, panels, reports, routes
from services.orders.settings import Settings
from shared import producer, serve, web
from shared.csv_export import Exporter
from shared.db import is_outage
from shared.export import export_route
from shared.http.panel_route import panel_routes
from shared.imports import BATCH_PATH, MAX_BATCH_BYTES
from shared.probes import metrics

SERVICE = "orders"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; settings come from the environment unless given."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with producer.running(app, SERVICE, settings):
            app.state.exporter = Exporter(settings)
            yield

    return web.create_app(
        SERVICE,
        settings,
        lifespan=lifespan,
        routes=(
            routes.router,
            reports.router,
            export_route(export.PARTS),
            metrics,
            *panel_routes({"orders": panels.load_recent}),
            batch.route(),
        ),
        is_outage=is_outage,
        body_limits={BATCH_PATH: MAX_BATCH_BYTES},
    )


def run() -> None:
    """Serve until SIGTERM."""
    settings = Settings()
    serve.run(SERVICE, create_app(settings), settings)
