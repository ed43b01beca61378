"""The orders service as the gateway sees it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from pydantic_settings import SettingsConfigDict

from services.orders.main import create_app
from services.orders.settings import Settings, Tuning
from shared.http.identity import GATEWAY
from shared.http.tokens import Role, ServiceTokens
from shared.ids import new_id
from tests.support.tuned_service import tuning_in

NO_BROKER = "amqp://127.0.0.1:1/"
"""Nothing listens there: what is published stays in the outbox, where a test can look at it."""
ITEM: dict[str, Any] = {"sku": "A-1", "name": "Lamp", "quantity": 2, "unit_price": 1050}
BODY: dict[str, Any] = {"currency": "EUR", "items": [ITEM, ITEM | {"sku": "B-2", "quantity": 1, "unit_price": 99}]}


class Tuned(Settings):
    """Settings and tuning in one, as tests name them: what is no setting is a field of `Tuning`."""

    model_config = SettingsConfigDict(extra="allow")


def app_of(settings: Settings) -> FastAPI:
    return create_app(settings, Tuning(**tuning_in(settings)))


def settings_of(database_url: str, rabbitmq_url: str = NO_BROKER, **more: Any) -> Settings:
    """It waits long for a lock: the machine may be busy."""
    patient: dict[str, Any] = {"lock_timeout_s": 60}
    return Tuned(environment="development", database_url=database_url, rabbitmq_url=rabbitmq_url, **(patient | more))


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[FastAPI]:
    app = app_of(settings)
    async with app.router.lifespan_context(app):
        yield app


class Visitor(httpx.AsyncClient):
    """The gateway, calling for one user."""

    def __init__(self, app: FastAPI, role: Role = "user", user_id: UUID | None = None) -> None:
        self.user_id = user_id or new_id()
        self._tokens = ServiceTokens(app.state.settings.internal_token_secret.get_secret_value(), GATEWAY)

        def sign(request: httpx.Request) -> httpx.Request:
            request.headers.setdefault("Authorization", self.bearer)
            return request

        headers = {"X-User-Id": str(self.user_id), "X-User-Role": role}
        super().__init__(transport=httpx.ASGITransport(app), base_url="http://orders", headers=headers, auth=sign)

    @property
    def bearer(self) -> str:
        """What the gateway shows of itself."""
        return f"Bearer {self._tokens.token()}"

    async def place(self, **more: Any) -> dict[str, Any]:
        """A new order of this user."""
        response = await self.post("/v1/orders", json=BODY | more)
        assert response.status_code == 201, response.text
        placed: dict[str, Any] = response.json()
        return placed
