"""The gateway: the only process that clients reach."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from starlette.types import Scope

from services.gateway.api import (
    batch,
    dashboard,
    events,
    identity_providers,
    passthrough,
    personal_data,
    reference,
    reports,
    session,
    status,
)
from services.gateway.api import page as page
from services.gateway.api.access import OWN, own_paths
from services.gateway.catalog.catalog import Catalog, load
from services.gateway.catalog.document import InvalidPanelsFile
from services.gateway.catalog.watcher import CatalogWatcher
from services.gateway.container import Gateway, client_of, running, with_catalog
from services.gateway.dashboard.fast_path import DashboardFastPath
from services.gateway.limits.client_ip import is_in, networks
from services.gateway.limits.load_shedding import LoadShedder
from services.gateway.limits.middleware import AdmissionMiddleware
from services.gateway.openapi.errors import of_route
from services.gateway.openapi.merge import merge
from services.gateway.panels import Service
from services.gateway.proxy.forward import ResponseCutOff
from services.gateway.proxy.operations import body_limits
from services.gateway.settings import DEFAULTS, Settings, Tuning
from shared.http import application
from shared.http.openapi import add_errors, complete
from shared.observability.probes import internal_app
from shared.server import serve


def create_app(
    settings: Settings | None = None, tuning: Tuning = DEFAULTS, urls: Mapping[Service, str] | None = None
) -> application.Application:
    """Create the public application. Raises `InvalidPanelsFile`.

    `urls` replace those of services in the panels file; by default those in the environment.
    """
    used = settings or Settings()
    catalog = load_catalog(used, urls)
    shedder = LoadShedder(used.shed_most_in_hand, tuning)
    trusted = networks(used.trace_trusted)

    def trusts_traceparent(scope: Scope) -> bool:
        return bool(trusted) and is_in(client_of(scope) or "", trusted)

    admission = AdmissionMiddleware(used, shedder)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(app, catalog, used, tuning) as gateway:
            fast_path = DashboardFastPath(used, tuning, shedder, gateway.authenticator, gateway.limits, gateway.cache)
            _offer(app, gateway, fast_path)
            app.fast_path = fast_path

            async def reload(changed: Catalog) -> None:
                app.state.gateway = await with_catalog(app.state.gateway, changed)
                _offer(app, app.state.gateway, fast_path)

            watcher = CatalogWatcher(catalog, lambda: load_catalog(used, urls), reload)
            app.state.checks.useful["panels_file"] = watcher.check
            app.state.background.start("load", shedder.watch)
            app.state.background.start("panels file", watcher.follow)
            yield

    app = application.create_app(
        "gateway",
        used,
        lifespan=lifespan,
        routes=[
            *dashboard.routes(),
            *events.routes(),
            *page.routes(),
            *reference.routes(),
            batch.router,
            session.router,
            identity_providers.router,
            status.router,
            *reports.routes(),
            *personal_data.routes(),
        ],
        is_outage=lambda error: isinstance(error, ResponseCutOff),
        door=admission,
        heeds=trusts_traceparent,
        max_body_bytes=tuning.max_body_bytes,
    )
    app.state.catalog = catalog
    app.router.default = page.or_page(app.router.default)
    _describe_whole_api(app)
    return app


def load_catalog(settings: Settings, urls: Mapping[Service, str] | None = None) -> Catalog:
    """Return what the panels file declares. Raises `InvalidPanelsFile`."""
    return load(settings.panels_path, own_paths(), urls)


def _offer(app: application.Application, gateway: Gateway, fast_path: DashboardFastPath) -> None:
    """Offer the panels and passed-through routes of the gateway's catalog."""
    catalog, settings = gateway.catalog, gateway.settings
    fast_path.use(gateway.reader, catalog.panels, catalog.forwarded)
    limits = body_limits(catalog.operations, settings.upload_max_bytes)
    app.pass_through(passthrough.routes(catalog.operations), limits)


def _describe_whole_api(app: FastAPI) -> None:
    own = app.openapi

    @lru_cache(maxsize=1)
    def described(catalog: Catalog, _version: int) -> dict[str, Any]:
        return whole_api(own(), catalog, app.state.gateway.documents.by_service)

    def describe() -> dict[str, Any]:
        gateway: Gateway = app.state.gateway
        return described(gateway.catalog, gateway.documents.version)

    app.openapi = describe  # type: ignore[method-assign]


def whole_api(own: dict[str, Any], catalog: Catalog, documents: Mapping[Service, dict[str, Any]]) -> dict[str, Any]:
    """Return the OpenAPI document of the gateway's own routes, and of the passed-through routes from their services'
    documents."""
    described = deepcopy(own)
    dashboard.describe(described, catalog.panels)
    reports.describe(described, catalog.operations)
    personal_data.describe(described, catalog)
    for rule in OWN:
        if operation := described["paths"].get(rule.path, {}).get(rule.method.lower()):
            errors = of_route(
                rule.method,
                rule.path,
                rule.access,
                session_only=rule.session_only,
                needs_account=rule.needs_account,
            )
            add_errors(operation, errors)
    complete(described)
    return merge(described, catalog.operations, documents)


def run(tuning: Tuning = DEFAULTS) -> None:
    settings = Settings()
    try:
        app = create_app(settings, tuning)
    except InvalidPanelsFile as invalid:
        sys.exit(str(invalid))
    serve.run("gateway", app, settings, internal=(internal_app(app), settings.internal_port))
