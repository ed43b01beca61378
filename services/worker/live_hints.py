"""Live hints: notify the gateways which panels of users have changed. A lost hint delays the update by at most the
cache's time limit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import cast
from uuid import UUID

import aiormq
import msgspec
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractConnection
from pamqp.commands import Basic

from services.worker import metrics
from services.worker.ledger.job import Job
from shared.contracts import topology
from shared.observability.logs import get_logger

log = get_logger(__name__)

KEY = "hint"

Publish = Callable[[str, bytes], Awaitable[object]]
"""Sends a body under a routing key."""


class Hint(msgspec.Struct, frozen=True):
    user_id: UUID
    panels: list[str]


class Hints:
    """Collects hints while earlier ones are being sent, one per user. A message has the hints of many users, because a
    message costs this process and each gateway more than a hint does. Never fails or delays its caller."""

    MAX_PENDING = 10_000
    MAX_IN_MESSAGE = 500
    PUBLISH_TIMEOUT_S = 2.0

    def __init__(self) -> None:
        self._pending: dict[UUID, set[str]] = {}
        self._given = asyncio.Event()
        self.publish: Publish | None = None
        """The function that sends a hint; None without a broker."""

    @asynccontextmanager
    async def sent_by(self, connection: AbstractConnection) -> AsyncIterator[None]:
        """Connect for the duration of the block, with a connection that consumes nothing: RabbitMQ stops reading from a
        connection that publishes during a memory or disk alarm, including acknowledgements.

        Uses aiormq, which waits neither for a confirm nor for the socket: there may be a message for each event.
        """
        channel = await connection.channel(publisher_confirms=False)

        async def publish(key: str, hint: bytes) -> None:
            underlay = cast(
                "aiormq.Channel", await channel.get_underlay_channel()
            )  # `wait` is missing in its base class
            await underlay.connection.ready()  # not while publishers are blocked
            properties = Basic.Properties(content_type="application/json", delivery_mode=DeliveryMode.NOT_PERSISTENT)
            await underlay.basic_publish(
                hint, exchange=topology.LIVE, routing_key=key, properties=properties, wait=False
            )

        self.publish = publish
        try:
            yield
        finally:
            self.publish = None

    def on_done(self, job: Job, user_id: UUID) -> None:
        if job.panels:
            self.changed(user_id, job.panels)

    def changed(self, user_id: UUID, panels: Iterable[str]) -> None:
        if len(self._pending) >= self.MAX_PENDING:
            metrics.HINTS_LOST.inc()
            return
        self._pending.setdefault(user_id, set()).update(panels)
        self._given.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._given.wait()
            self._given.clear()
            pending, self._pending = self._pending, {}
            hints = [Hint(user_id, sorted(panels)) for user_id, panels in pending.items()]
            for begin in range(0, len(hints), self.MAX_IN_MESSAGE):
                await self.send(KEY, *hints[begin : begin + self.MAX_IN_MESSAGE])

    async def send(self, key: str, *hints: msgspec.Struct) -> None:
        """Send them at once, as one message: a list, or the hint itself if it is the only one. They are lost if the
        message cannot be sent."""
        try:
            if self.publish is None:
                raise ConnectionError("no broker")
            async with asyncio.timeout(self.PUBLISH_TIMEOUT_S):
                await self.publish(key, msgspec.json.encode(hints if len(hints) > 1 else hints[0]))
        except Exception as error:
            metrics.HINTS_LOST.inc(len(hints))
            log.debug("hints lost", hints=len(hints), error=repr(error))
