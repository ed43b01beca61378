"""A worker with an orders service beside it, and somebody who has files imported."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from services.worker.settings import Settings
from shared.contracts.imports import BATCH_PATH, COLUMNS
from shared.ids import new_id
from tests.support.held_body import HeldBody
from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S

HEADER = ",".join(COLUMNS)
MOST_WAITING = 100
CREATED_AT = "2026-01-31T12:00:00Z"


def line(reference: str, **more: str) -> str:
    """A row that is an order, unless `more` makes it something else."""
    row = {
        "reference": reference,
        "currency": "EUR",
        "sku": "A-1",
        "name": "Lamp",
        "quantity": "2",
        "unit_price": "1050",
        "ordered_at": CREATED_AT,
    }
    return ",".join((row | more).values())


def csv_of(*lines: str) -> bytes:
    return "\n".join((HEADER, *lines, "")).encode()


def many(count: int) -> bytes:
    return csv_of(*(line(f"r-{number}") for number in range(count)))


def pieces(data: bytes, size: int = 65536) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def folder_of(settings: Settings) -> Path:
    """Where the worker keeps its files."""
    return Path(dict(settings)["storage_url"].removeprefix("file://"))


def stored(settings: Settings) -> list[Path]:
    return [path for path in folder_of(settings).rglob("*") if path.is_file()]


class Gate:
    """Before the orders service: lets so many batches through, in their order, and keeps the others waiting."""

    def __init__(self) -> None:
        self._permits: asyncio.Semaphore | None = None

    def let_through(self, count: int) -> None:
        """From now on no more than these."""
        self._permits = self._permits or asyncio.Semaphore(0)
        for _ in range(count):
            self._permits.release()

    def open(self) -> None:
        """For those that wait, and for all that come."""
        if self._permits is not None:
            self.let_through(MOST_WAITING)
        self._permits = None

    async def passed(self) -> None:
        if self._permits is not None:
            await self._permits.acquire()


class Gated(FastAPI):
    """An orders service behind a gate. No middleware would do: requests for batches pass by them."""

    def __init__(self, app: FastAPI, gate: Gate) -> None:
        super().__init__(openapi_url=None)
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == BATCH_PATH:
            await self._gate.passed()
        await self._app(scope, receive, send)


class Orders:
    """What the orders service has stored, and the gate before it."""

    def __init__(self, database_url: str, url: str, gate: Gate) -> None:
        self.database_url = database_url
        self.url = url
        self.gate = gate

    async def count(self, user_id: UUID) -> int:
        connection = await asyncpg.connect(self.database_url)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM orders WHERE user_id = $1", user_id))
        finally:
            await connection.close()


class Owner:
    """Somebody who imports, through the gateway."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.user_id = new_id()
        self.headers = {"X-User-Id": str(self.user_id), "X-User-Role": "user"}

    async def upload(self, data: bytes, name: str = "orders.csv") -> httpx.Response:
        return await self.http.post("/v1/imports", files={"file": (name, data, "text/csv")}, headers=self.headers)

    async def held_upload(self) -> tuple[HeldBody, asyncio.Task[httpx.Response]]:
        """A file that stops within its header."""
        head = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        body = HeldBody(head + csv_of()[:9], csv_of(line("a"))[9:] + b"\r\n--b--")
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        return body, await body.under_way(self.http.post("/v1/imports", content=body, headers=self.headers | kind))

    async def imported(self, data: bytes) -> dict[str, Any]:
        """The import, once it has ended."""
        answer = await self.upload(data)
        assert answer.status_code == 202, answer.text
        return await self.ended(answer.json()["id"])

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(f"/v1/imports{path}", headers=self.headers)

    async def cancel(self, import_id: str) -> httpx.Response:
        return await self.http.post(f"/v1/imports/{import_id}/cancel", headers=self.headers)

    async def read(self, import_id: str) -> dict[str, Any]:
        answer = await self.get(f"/{import_id}")
        assert answer.status_code == 200, answer.text
        status: dict[str, Any] = answer.json()
        return status

    async def until(self, import_id: str, within: float = LONG_S, **least: int) -> dict[str, Any]:
        """Waits until it has that many rows."""

        async def reached() -> bool:
            status = await self.read(import_id)
            return all(status[name] >= count for name, count in least.items())

        await eventually(reached, within)
        return await self.read(import_id)

    async def ended(self, import_id: str, within: float = LONG_S) -> dict[str, Any]:
        async def over() -> bool:
            return (await self.read(import_id))["state"] not in ("queued", "running")

        await eventually(over, within)
        return await self.read(import_id)
