"""What a user does with webhooks, against a worker."""

from typing import Any
from uuid import UUID

import httpx

from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S, World, as_user

PATH = "/v1/webhooks"
EVERY_ORDER = ["order.created", "order.paid", "order.shipped", "order.cancelled"]
LOOPBACK = "127.0.0.0/8"
QUICK: dict[str, Any] = {
    "webhook_allowed_networks": LOOPBACK,
    "webhook_backoff_base_s": 0.2,
    "webhook_backoff_cap_s": 0.5,
    "webhook_rate_per_host": 1000,
    "webhook_attempts": 1000,
}
"""Tries again soon, and does not give up."""


class Hooks:
    """One user's."""

    def __init__(self, world: World, user_id: UUID) -> None:
        self.world = world
        self.user_id = user_id

    async def ask(self, method: str, path: str = "", **more: Any) -> httpx.Response:
        return await self.world.http.request(method, f"{PATH}{path}", headers=as_user(self.user_id), **more)

    async def told(self, method: str, path: str = "", **more: Any) -> dict[str, Any]:
        answer = await self.ask(method, path, **more)
        assert answer.is_success, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def create(self, url: str, events: list[str] | None = None) -> dict[str, Any]:
        return await self.told("POST", json={"url": url, "events": events or EVERY_ORDER})

    async def read(self, webhook_id: str) -> dict[str, Any]:
        return await self.told("GET", f"/{webhook_id}")

    async def deliveries(self, webhook_id: str, **query: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.told("GET", f"/{webhook_id}/deliveries", params=query))["items"]
        return items

    async def until(self, webhook_id: str, state: str, count: int = 1, within: float = LONG_S) -> list[dict[str, Any]]:
        """The deliveries, once so many are in this state."""
        found: list[dict[str, Any]] = []

        async def reached() -> bool:
            found[:] = await self.deliveries(webhook_id, state=state, limit=100)
            return len(found) >= count

        await eventually(reached, within)
        return found

    async def until_failed_once(self, webhook_id: str) -> dict[str, Any]:
        """The newest delivery, once a call has failed."""

        async def failed() -> bool:
            return any(one["error"] for one in await self.deliveries(webhook_id))

        await eventually(failed, LONG_S)
        return (await self.deliveries(webhook_id))[0]
