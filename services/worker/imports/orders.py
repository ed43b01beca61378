"""The importer's client of the orders service."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from uuid import UUID

import httpx
import msgspec

from services.worker.ledger.job import Permanent, Transient
from shared.contracts.imports import BATCH_PATH, BatchOutcome, CsvRow, OrderBatch
from shared.contracts.internal_api import IDLE_S
from shared.http.tokens import ServiceTokens
from shared.observability import telemetry

CONNECT_TIMEOUT_S = 2.0
NEVER = frozenset({httpx.codes.NOT_FOUND, httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY})
"""Permanent responses: the same batch would get them again."""


class OrdersAway(Transient):
    """No response, or one that asks to retry. The batch may have been placed; sending it again is harmless."""


class BatchRefused(Permanent):
    """The two services are incompatible."""


class Orders:
    def __init__(
        self, http: httpx.AsyncClient, base_urls: Sequence[str], tokens: ServiceTokens, timeout_s: float
    ) -> None:
        self._http = http
        self._timeout_s = timeout_s
        self._base_urls = cycle(base_urls)
        self._tokens = tokens

    @classmethod
    @asynccontextmanager
    async def open(cls, base_urls: str, tokens: ServiceTokens, timeout_s: float) -> AsyncIterator["Orders"]:
        """A client that keeps its connections until the block is left."""
        urls = [url.strip().rstrip("/") for url in base_urls.split(",")]
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(keepalive_expiry=IDLE_S),
            trust_env=False,
        ) as http:
            yield cls(http, urls, tokens, timeout_s)

    async def place(self, user_id: UUID, import_id: UUID, rows: Sequence[CsvRow]) -> BatchOutcome:
        """Place each row's order, unless its reference exists already. Raises `OrdersAway` or `BatchRefused`."""
        url = next(self._base_urls) + BATCH_PATH
        headers = {"Authorization": f"Bearer {self._tokens.token()}", "Content-Type": "application/json"}
        if traceparent := telemetry.traceparent():
            headers["traceparent"] = traceparent
        body = msgspec.json.encode(OrderBatch(user_id, import_id, list(rows)))
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._http.post(url, content=body, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            raise OrdersAway(f"the orders service does not respond: {error!r}") from error
        if answer.status_code in NEVER:
            raise BatchRefused(f"the orders service answered {answer.status_code}: {answer.text[:500]}")
        if answer.is_error:
            raise OrdersAway(f"the orders service answered {answer.status_code}")
        try:
            return msgspec.json.decode(answer.content, type=BatchOutcome)
        except msgspec.DecodeError as unreadable:
            raise BatchRefused(f"the orders service's response cannot be read: {unreadable}") from unreadable
