"""The gateway: the only process that clients reach."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from starlette.types import Scope

from services.gateway.admission.addresses import is_in, networks
from services.gateway.admission.door import Door
from services.gateway.admission.overload import Overload
from services.gateway.dashboard.fast_path import DashboardFastPath
from services.gateway.forward import ResponseCutOff
from services.gateway.gateway import client_of, running
from services.gateway.openapi import merge
from services.gateway.panels import Service
from services.gateway.routes import (
    batch,
    dashboard,
    dashboard_openapi,
    events,
    export,
    passthrough,
    reports,
    session,
    status,
)
from services.gateway.routes import web as page
from services.gateway.routes.table import OPERATIONS, body_limits
from services.gateway.settings import Settings
from shared import serve, web
from shared.probes import internal_app


def create_app(settings: Settings | None = None) -> web.Application:
    """The public application."""
    used = settings or Settings()
    overload = Overload(used)
    trusted = networks(used.trace_trusted)

    def heeds(scope: Scope) -> bool:
        return bool(trusted) and is_in(client_of(scope) or "", trusted)

    door = Door(used, overload)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(app, used) as gateway:
            app.fast_path = DashboardFastPath(
                used, overload, gateway.authenticator, gateway.limits, gateway.cache, gateway.reader
            )
            app.state.background.start("load", overload.watch)
            yield

    app = web.create_app(
        "gateway",
        used,
        lifespan=lifespan,
        routes=[
            *dashboard.routes(),
            *events.routes(),
            *page.routes(),
            batch.router,
            session.router,
            status.router,
            *reports.routes(),
            *export.routes(),
            *passthrough.routes(),
        ],
        is_outage=lambda error: isinstance(error, ResponseCutOff),
        body_limits=body_limits(used.upload_max_bytes),
        door=door,
        heeds=heeds,
    )
    app.router.default = page.or_page(app.router.default)
    _describe_whole_api(app)
    return app


def _describe_whole_api(app: FastAPI) -> None:
    own = app.openapi

    @lru_cache(maxsize=1)
    def described(_version: int) -> dict[str, Any]:
        return whole_api(own(), app.state.gateway.descriptions.documents)

    app.openapi = lambda: described(app.state.gateway.descriptions.version)  # type: ignore[method-assign]


def whole_api(own: dict[str, Any], documents: Mapping[Service, dict[str, Any]]) -> dict[str, Any]:
    """The description of the gateway's own routes, with those that it passes through as their services say them."""
    dashboard_openapi.describe(own)
    reports.describe(own)
    export.describe(own)
    return merge(own, OPERATIONS, documents)


def run() -> None:
    settings = Settings()
    app = create_app(settings)
    serve.run("gateway", app, settings, internal=(internal_app(app), settings.internal_port))
