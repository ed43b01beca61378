"""The importer's client of the orders service."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import msgspec

from services.worker.ledger.job import Permanent, Transient
from services.worker.service_client import NO_ANSWER, ServiceClient
from shared.contracts.imports import BATCH_PATH, BatchOutcome, CsvRow, OrderBatch
from shared.http.tokens import ServiceTokens

NEVER = frozenset({httpx.codes.NOT_FOUND, httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY})
"""Permanent responses: the same batch would get them again."""


class OrdersAway(Transient):
    """No response, or one that asks to retry. The batch may have been placed; sending it again is harmless."""


class BatchRefused(Permanent):
    """The two services are incompatible."""


class Orders:
    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    @classmethod
    @asynccontextmanager
    async def open(cls, base_urls: str, tokens: ServiceTokens, timeout_s: float) -> AsyncIterator["Orders"]:
        """A client that keeps its connections until the block is left."""
        async with ServiceClient.open(base_urls, tokens, timeout_s) as service:
            yield cls(service)

    async def place(self, user_id: UUID, import_id: UUID, rows: Sequence[CsvRow]) -> BatchOutcome:
        """Place each row's order, unless its reference exists already. Raises `OrdersAway` or `BatchRefused`."""
        body = msgspec.json.encode(OrderBatch(user_id, import_id, list(rows)))
        try:
            answer = await self._service.send("POST", BATCH_PATH, body)
        except NO_ANSWER as error:
            raise OrdersAway(f"the orders service does not respond: {error!r}") from error
        if answer.status_code in NEVER:
            raise BatchRefused(f"the orders service answered {answer.status_code}: {answer.text[:500]}")
        if answer.is_error:
            raise OrdersAway(f"the orders service answered {answer.status_code}")
        try:
            return msgspec.json.decode(answer.content, type=BatchOutcome)
        except msgspec.DecodeError as unreadable:
            raise BatchRefused(f"the orders service's response cannot be read: {unreadable}") from unreadable
