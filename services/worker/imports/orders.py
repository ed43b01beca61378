"""The orders service as an import uses it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from uuid import UUID

import httpx
import msgspec
from pyqwest import HTTPTransport
from pyqwest.httpx import AsyncPyqwestTransport

from services.worker.errors import Permanent, Transient
from shared.contracts.imports import BATCH_PATH, BatchOutcome, CsvRow, OrderBatch
from shared.contracts.internal_api import IDLE_S
from shared.http.tokens import ServiceTokens
from shared.observability import telemetry

CONNECT_TIMEOUT_S = 2.0
NEVER = frozenset({httpx.codes.NOT_FOUND, httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY})
"""Answers that the same batch would get again."""


class OrdersAway(Transient):
    """No answer, or one that says to come again. Perhaps the batch was placed; sending it again does no harm."""


class BatchRefused(Permanent):
    """The two services do not understand each other."""


class Orders:
    def __init__(self, http: httpx.AsyncClient, base_urls: Sequence[str], tokens: ServiceTokens) -> None:
        self._http = http
        self._base_urls = cycle(base_urls)
        self._tokens = tokens

    @classmethod
    @asynccontextmanager
    async def open(cls, base_urls: str, tokens: ServiceTokens, timeout_s: float) -> AsyncIterator["Orders"]:
        urls = [url.strip().rstrip("/") for url in base_urls.split(",")]
        transport = HTTPTransport(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=timeout_s,
            pool_idle_timeout=IDLE_S,
            follow_redirects=False,
            enable_otel=False,
        )
        async with (
            transport,
            httpx.AsyncClient(transport=AsyncPyqwestTransport(transport), timeout=timeout_s, trust_env=False) as http,
        ):
            yield cls(http, urls, tokens)

    async def place(self, user_id: UUID, import_id: UUID, rows: Sequence[CsvRow]) -> BatchOutcome:
        """Place each row's order, unless its reference is there already. Raises `OrdersAway` or `BatchRefused`."""
        url = next(self._base_urls) + BATCH_PATH
        headers = {"Authorization": f"Bearer {self._tokens.token()}", "Content-Type": "application/json"}
        if traceparent := telemetry.traceparent():
            headers["traceparent"] = traceparent
        body = msgspec.json.encode(OrderBatch(user_id, import_id, list(rows)))
        try:
            answer = await self._http.post(url, content=body, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            raise OrdersAway(f"the orders service does not answer: {error!r}") from error
        if answer.status_code in NEVER:
            raise BatchRefused(f"the orders service answers {answer.status_code}: {answer.text[:500]}")
        if answer.is_error:
            raise OrdersAway(f"the orders service answers {answer.status_code}")
        try:
            return msgspec.json.decode(answer.content, type=BatchOutcome)
        except msgspec.DecodeError as unreadable:
            raise BatchRefused(f"the orders service's answer cannot be read: {unreadable}") from unreadable
