"""A gateway in this process, with a real Redis and three services that are real servers."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import msgspec
from fastapi import FastAPI
from redis.asyncio import Redis

from services.gateway.gateway import Gateway
from services.gateway.main import create_app
from services.gateway.settings import Settings
from shared.audit import PATH as AUDIT_PATH
from shared.ids import new_id
from shared.tokens import Role, UserTokens, b64url
from tests.support.backends import RedisBackend
from tests.support.gateway.stub import StubService, replies
from tests.support.waiting import eventually

SEED = b64url(bytes(range(32)))
SECRET = "an internal secret that is long enough"
JWKS_PATH = "/.well-known/jwks.json"


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
    """What starts a gateway with some settings, and all around it."""

    @contextlib.asynccontextmanager
    async def started(**settings: Any) -> AsyncIterator[World]:
        tokens = UserTokens([SEED], ttl_s=900)
        async with AsyncExitStack() as stack:
            services = [await stack.enter_async_context(StubService().running()) for _ in range(3)]
            users, orders, worker = services
            users.behaviours[JWKS_PATH] = replies(msgspec.json.encode(tokens.jwks))
            users.behaviours[AUDIT_PATH] = replies(b"", 204)
            told = {
                "internal_token_secret": SECRET,
                "users_url": users.url,
                "orders_url": orders.url,
                "worker_url": worker.url,
                "jwks_url": users.url + JWKS_PATH,
                "redis_url": redis.url,
                "rabbitmq_url": "amqp://127.0.0.1:1/",
                "jwks_retry_s": 0.05,
                "openapi_retry_s": 0.05,
                "write_behind_pause_s": 0.0,
                "redis_timeout_s": 0.5,
                "shed_most_in_hand": 0,  # the loop is the tests', too
            }
            app = create_app(Settings(**{**told, **settings}))
            await stack.enter_async_context(app.router.lifespan_context(app))
            direct = await stack.enter_async_context(Redis.from_url(redis.url))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://gateway"))
            world = World(app, client, users, orders, worker, tokens, direct)
            if told["jwks_url"] == settings.get("jwks_url", told["jwks_url"]):
                await eventually(lambda: bool(world.gateway.keys.keys))
            yield world

    return started
