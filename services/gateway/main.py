"""The gateway: the only process that clients reach."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from starlette.types import Scope

from services.gateway.api import batch, dashboard, events, passthrough, personal_data, reports, session, status
from services.gateway.api import page as page
from services.gateway.container import client_of, running
from services.gateway.dashboard.fast_path import DashboardFastPath
from services.gateway.limits.client_ip import is_in, networks
from services.gateway.limits.load_shedding import LoadShedder
from services.gateway.limits.middleware import AdmissionMiddleware
from services.gateway.openapi.merge import merge
from services.gateway.panels import Service
from services.gateway.proxy.forward import ResponseCutOff
from services.gateway.proxy.operations import OPERATIONS, body_limits
from services.gateway.settings import DEFAULTS, Settings, Tuning
from shared.http import application
from shared.observability.probes import internal_app
from shared.server import serve


def create_app(settings: Settings | None = None, tuning: Tuning = DEFAULTS) -> application.Application:
    """Create the public application."""
    used = settings or Settings()
    shedder = LoadShedder(used.shed_most_in_hand, tuning)
    trusted = networks(used.trace_trusted)

    def trusts_traceparent(scope: Scope) -> bool:
        return bool(trusted) and is_in(client_of(scope) or "", trusted)

    admission = AdmissionMiddleware(used, shedder)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(app, used, tuning) as gateway:
            app.fast_path = DashboardFastPath(
                used, tuning, shedder, gateway.authenticator, gateway.limits, gateway.cache, gateway.reader
            )
            app.state.background.start("load", shedder.watch)
            yield

    app = application.create_app(
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
            *personal_data.routes(),
            *passthrough.routes(),
        ],
        is_outage=lambda error: isinstance(error, ResponseCutOff),
        body_limits=body_limits(used.upload_max_bytes),
        door=admission,
        heeds=trusts_traceparent,
        max_body_bytes=tuning.max_body_bytes,
    )
    app.router.default = page.or_page(app.router.default)
    _describe_whole_api(app)
    return app


def _describe_whole_api(app: FastAPI) -> None:
    own = app.openapi

    @lru_cache(maxsize=1)
    def described(_version: int) -> dict[str, Any]:
        return whole_api(own(), app.state.gateway.documents.by_service)

    app.openapi = lambda: described(app.state.gateway.documents.version)  # type: ignore[method-assign]


def whole_api(own: dict[str, Any], documents: Mapping[Service, dict[str, Any]]) -> dict[str, Any]:
    """Return the OpenAPI document of the gateway's own routes, and of the passed-through routes from their services'
    documents."""
    dashboard.describe(own)
    reports.describe(own)
    personal_data.describe(own)
    return merge(own, OPERATIONS, documents)


def run(tuning: Tuning = DEFAULTS) -> None:
    settings = Settings()
    app = create_app(settings, tuning)
    serve.run("gateway", app, settings, internal=(internal_app(app), settings.internal_port))
