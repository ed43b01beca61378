"""The users service: accounts, sessions, and the panel `user`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import httpx
from fastapi import FastAPI

from services.users import panels, revocations
from services.users.accounts import admin_routes, link_routes, mails, verification
from services.users.accounts import routes as accounts
from services.users.accounts.resets import PasswordResets
from services.users.accounts.service import Accounts
from services.users.accounts.verification import Verifications
from services.users.api_keys import routes as api_key_routes
from services.users.api_keys.service import ApiKeys
from services.users.audit import repository as audit
from services.users.audit import routes as audit_routes
from services.users.identities import flows
from services.users.identities import routes as identity_routes
from services.users.identities.provider import Provider
from services.users.identities.service import Identities
from services.users.models import Base
from services.users.passwords import Passwords
from services.users.sessions import devices
from services.users.sessions import routes as token_routes
from services.users.sessions.repository import Lifetimes
from services.users.sessions.service import Logins
from services.users.settings import DEFAULTS, Settings, Tuning, seeds_of
from shared import feature
from shared.db.engine import is_outage
from shared.downloads.personal_data import export_route
from shared.http import application
from shared.http.panel_fast_path import PanelsFastPath
from shared.http.panel_route import Panels
from shared.http.tokens import UserTokens
from shared.observability.probes import metrics
from shared.outbox.relay import running
from shared.server import serve

SERVICE = "users"
FEATURES: list[str] = [
    "avatars",
]
"""The feature slices: folders of the users service that can be removed."""
PANELS = Panels({"user": panels.load})


def create_app(settings: Settings | None = None, tuning: Tuning = DEFAULTS) -> FastAPI:
    settings = settings or Settings()
    features = feature.load("services.users", FEATURES, settings, tuning)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        devices.load()
        async with running(app, SERVICE, settings) as db, AsyncExitStack() as opened:
            await features.open(app, opened)
            with Passwords.running(settings.hash_threads, tuning) as passwords:
                tokens = UserTokens(settings.signing_seeds, settings.access_token_ttl_s)
                app.state.secret_files.follow("signing_keys", lambda keys: tokens.rotate(seeds_of(keys)))
                app.state.user_tokens = tokens
                app.state.accounts = Accounts(db, passwords, smtputf8=settings.mail_smtputf8)
                app.state.api_keys = ApiKeys(db, app.state.accounts)
                app.state.logins = Logins(db, passwords, tokens, Lifetimes.of(settings))
                app.state.identities = Identities(
                    db,
                    app.state.accounts,
                    app.state.logins,
                    passwords,
                    await _providers(settings, tuning, opened),
                    settings.page,
                )
                app.state.checks.useful["public_url"] = settings.check_page
                app.state.verifications = Verifications(db)
                app.state.password_resets = PasswordResets(db, passwords)
                app.state.background.start("password resets", app.state.password_resets.run)
                app.state.background.every(
                    verification.EXPIRY_EVERY_S, "account expiry", partial(verification.expire, db)
                )
                app.state.background.every(mails.EXPIRY_EVERY_S, "link expiry", partial(mails.expire, db))
                app.state.background.every(flows.EXPIRY_EVERY_S, "sign-in expiry", partial(flows.expire, db))
                app.state.background.every(
                    audit.EXPIRY_EVERY_S, "audit expiry", partial(audit.expire, db, settings.audit_keep_s)
                )
                app.state.background.every(
                    revocations.EXPIRY_EVERY_S, "revocation expiry", partial(revocations.expire, db, tokens.ttl_s)
                )
                yield

    app = application.create_app(
        SERVICE,
        settings,
        lifespan=lifespan,
        routes=[
            accounts.router,
            link_routes.router,
            *features.routes,
            token_routes.router,
            token_routes.own_router,
            api_key_routes.router,
            identity_routes.router,
            identity_routes.own_router,
            audit_routes.router,
            token_routes.internal_router,
            link_routes.worker_router,
            api_key_routes.internal_router,
            identity_routes.internal_router,
            accounts.operator_router,
            admin_routes.router,
            export_route(Base),
            *PANELS.routes(),
            metrics,
        ],
        is_outage=is_outage,
        body_limits=features.body_limits,
    )
    app.fast_path = PanelsFastPath(app.state, PANELS)
    return app


async def _providers(settings: Settings, tuning: Tuning, opened: AsyncExitStack) -> dict[str, Provider]:
    """Return the identity providers by name; nothing is read from them before the first sign-in."""
    configs = settings.identity_providers
    if not configs:
        return {}
    http = await opened.enter_async_context(httpx.AsyncClient(timeout=tuning.provider_timeout_s))
    return {config.name: Provider(config, http, tuning.provider_timeout_s) for config in configs}


def run(tuning: Tuning = DEFAULTS) -> None:
    settings = Settings()
    serve.run(SERVICE, create_app(settings, tuning), settings)
