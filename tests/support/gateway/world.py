"""A gateway in this process, with a real Redis and three services that are real servers."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import msgspec
from fastapi import FastAPI
from pydantic_settings import SettingsConfigDict
from redis.asyncio import Redis

from services.gateway.container import Gateway
from services.gateway.main import create_app
from services.gateway.settings import Settings, Tuning
from shared.contracts.internal_api import AUDIT_PATH as AUDIT_PATH
from shared.contracts.internal_api import REVOCATIONS_PATH as REVOCATIONS
from shared.http.tokens import Role, UserTokens, b64url
from shared.ids import new_id
from tests.support.backends import RedisBackend
from tests.support.gateway.patience import PATIENCE_S, set_timeouts
from tests.support.gateway.stub import Behaviour, StubService, replies
from tests.support.tuned_service import tuning_in
from tests.support.waiting import eventually

SEED = b64url(bytes(range(32)))
SECRET = "an internal secret that is long enough"
JWKS_PATH = "/.well-known/jwks.json"
NO_RABBITMQ = "amqp://127.0.0.1:1/"
PATIENT: dict[str, Any] = {
    "connect_timeout_s": PATIENCE_S,
    "read_timeout_s": PATIENCE_S,
    "upload_idle_s": PATIENCE_S,
    "client_stall_s": PATIENCE_S,
    "batch_patience_s": PATIENCE_S,
    "cache_max_age_s": PATIENCE_S,
    "last_known_good_rewrite_s": PATIENCE_S,
    "stream_recheck_s": PATIENCE_S,
    "stream_send_timeout_s": PATIENCE_S,
    "jwks_timeout_s": PATIENCE_S,
    "jwks_unknown_key_pause_s": PATIENCE_S,
    "issuer_timeout_s": PATIENCE_S,
    "openapi_timeout_s": PATIENCE_S,
    "api_key_timeout_s": PATIENCE_S,
    "redis_timeout_s": PATIENCE_S,
    "redis_write_timeout_s": PATIENCE_S,
}
"""Deadlines that nothing misses because the machine is busy. What is to time out has a short one of its own."""
MORE_PATIENT: dict[str, Any] = {"budget_ms": int(PATIENCE_S * 1000), "pass_through_timeout_s": PATIENCE_S}
"""Longer than the settings allow: set after they were checked."""


class Tuned(Settings):
    """Settings and tuning in one, as tests name them: what is no setting is a field of `Tuning`."""

    model_config = SettingsConfigDict(extra="allow")


def tuning_of(settings: Settings) -> Tuning:
    return Tuning(**tuning_in(settings))


def users_behaviours(tokens: UserTokens) -> dict[str, Behaviour]:
    """Of a users service with these keys, where no session has ended."""
    return {
        JWKS_PATH: replies(msgspec.json.encode(tokens.jwks)),
        REVOCATIONS: replies(b'{"cursor": 0, "sessions": [], "users": []}'),
        AUDIT_PATH: replies(b"", 204),
    }


@dataclass
class World:
    """Everything around one gateway."""

    app: FastAPI
    client: httpx.AsyncClient
    users: StubService
    orders: StubService
    worker: StubService
    tokens: UserTokens
    redis: Redis

    @property
    def gateway(self) -> Gateway:
        gateway: Gateway = self.app.state.gateway
        return gateway

    def bearer(self, user_id: UUID | None = None, role: Role = "user", session: UUID | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.issue(user_id or new_id(), session or new_id(), role)}"}


Start = Callable[..., AbstractAsyncContextManager[World]]


def starter(redis: RedisBackend) -> Start:
    """What starts a gateway with some settings, and all around it. `panel_timeouts_s` are seconds by panel, `urls`
    those of other services."""
    return starter_at(redis.url)


def starter_at(redis_url: str) -> Start:
    """The same, with the URL of any Redis."""

    @contextlib.asynccontextmanager
    async def started(panel_timeouts_s: Mapping[str, float] | None = None, **settings: Any) -> AsyncIterator[World]:
        tokens = UserTokens([SEED], ttl_s=900)
        async with AsyncExitStack() as stack:
            services = [await stack.enter_async_context(StubService().running()) for _ in range(3)]
            users, orders, worker = services
            users.behaviours |= users_behaviours(tokens)
            behind = {"users": users.url, "orders": orders.url, "worker": worker.url}
            urls = {name: settings.pop(f"{name}_url", url) for name, url in behind.items()} | settings.pop("urls", {})
            told = {
                **PATIENT,
                "internal_token_secret": SECRET,
                "jwks_url": users.url + JWKS_PATH,
                "redis_url": redis_url,
                "rabbitmq_url": NO_RABBITMQ,
                "jwks_retry_s": 0.05,
                "redis_retry_s": 0.05,
                "openapi_retry_s": 0.05,
                "write_behind_pause_s": 0.0,
                "shed_most_in_hand": 0,  # the loop is the tests', too
                "limit_login_address": "",  # all tests have one address, and share the counters in Redis
                "limit_registration": "",
            }
            longer = {name: value for name, value in MORE_PATIENT.items() if name not in settings}
            used = Tuned(**{**told, **settings}).model_copy(update=longer)
            app = create_app(used, tuning_of(used), urls)
            set_timeouts(app.state.catalog.panels, panel_timeouts_s or {})
            await stack.enter_async_context(app.router.lifespan_context(app))
            direct = await stack.enter_async_context(Redis.from_url(redis_url))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://gateway"))
            world = World(app, client, users, orders, worker, tokens, direct)
            if told["jwks_url"] == settings.get("jwks_url", told["jwks_url"]):
                await eventually(lambda: bool(world.gateway.keys.keys))
            yield world

    return started
