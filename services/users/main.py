"""The users service: accounts, logins, and the panel `user`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from services.users import audit, export, panel, revocations
from services.users.avatars import Avatars
from services.users.logins import Logins
from services.users.passwords import Passwords
from services.users.pictures import Pictures
from services.users.routes import accounts, avatars, keys, users
from services.users.routes import audit as audit_routes
from services.users.routes import revocations as revocation_routes
from services.users.routes import tokens as token_routes
from services.users.service import Accounts
from services.users.sessions import Lifetimes
from services.users.settings import Settings, seeds_of
from shared import serve, web
from shared.db import is_outage
from shared.export import export_route
from shared.http.panel_fast_path import PanelsFastPath
from shared.http.panel_route import Panels
from shared.limits import MAX_PICTURE_BYTES
from shared.probes import metrics
from shared.producer import running
from shared.tokens import UserTokens

SERVICE = "users"
PANELS = Panels({"user": panel.load})


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(app, SERVICE, settings) as db:
            with Passwords.running(settings) as passwords:
                tokens = UserTokens(settings.signing_seeds, settings.access_token_ttl_s)
                app.state.secret_files.follow("signing_keys", lambda keys: tokens.rotate(seeds_of(keys)))
                app.state.user_tokens = tokens
                app.state.accounts = Accounts(db, passwords, smtputf8=settings.mail_smtputf8)
                app.state.avatars = Avatars(db)
                app.state.pictures = Pictures(settings)
                app.state.logins = Logins(db, passwords, tokens, Lifetimes.of(settings))
                app.state.background.every(
                    audit.EXPIRY_EVERY_S, "audit expiry", partial(audit.expire, db, settings.audit_keep_s)
                )
                app.state.background.every(
                    revocations.EXPIRY_EVERY_S, "revocation expiry", partial(revocations.expire, db, tokens.ttl_s)
                )
                yield

    app = web.create_app(
        SERVICE,
        settings,
        lifespan=lifespan,
        routes=[
            accounts.router,
            avatars.router,
            token_routes.router,
            audit_routes.router,
            revocation_routes.router,
            users.router,
            keys.router,
            export_route(export.PARTS),
            *PANELS.routes(),
            metrics,
        ],
        is_outage=is_outage,
        body_limits={"/v1/me/avatar": MAX_PICTURE_BYTES},
    )
    app.fast_path = PanelsFastPath(app.state, PANELS)
    return app


def run() -> None:
    settings = Settings()
    serve.run(SERVICE, create_app(settings), settings)
