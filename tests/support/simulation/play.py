"""Plays a sequence of operations with a queue of RabbitMQ, and records what a client can see of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiormq
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from tests.support.patience import PATIENCE_S
from tests.support.waiting import eventually

PERSISTENT = Basic.Properties(delivery_mode=2)


@dataclass(frozen=True, slots=True)
class Seen:
    """A delivery. `returns` is what the broker says of how often it came back."""

    way: str
    body: str
    redelivered: bool | None
    returns: Any


@dataclass(frozen=True, slots=True)
class State:
    """What has settled after an operation."""

    deliveries: int
    ready: int
    consumers: int


@dataclass
class Player:
    """One client: publishes on a channel with confirms, consumes on another connection."""

    url: str
    queue: str
    arguments: dict[str, Any]
    seen: list[Seen] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    _unsettled: list[int] = field(default_factory=list)
    _tag: str | None = None
    _bodies: int = 0

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str, queue: str, arguments: dict[str, Any]) -> AsyncIterator["Player"]:
        player = cls(url, queue, arguments)
        async with aiormq.connect(url) as publishing:
            player.publisher = await publishing.channel(publisher_confirms=True)
            await player.publisher.queue_declare(queue, durable=True, arguments=arguments)
            await player.connect()
            try:
                yield player
            finally:
                await player.connection.close()
                await player.publisher.queue_delete(queue)

    publisher: Any = None
    connection: Any = None
    channel: Any = None

    async def connect(self) -> None:
        self.connection = aiormq.Connection(self.url)
        await self.connection.connect()
        await self._open()

    async def _open(self) -> None:
        self.channel = await self.connection.channel(publisher_confirms=False)
        self._unsettled, self._tag = [], None

    async def play(self, operation: tuple[Any, ...], expected: State | None = None) -> None:
        """Run one operation, and wait for what is expected after it, if that is known."""
        name, *arguments = operation
        await getattr(self, name)(*arguments)
        if expected is None:
            self.states.append(await self.state())
            return

        async def settled() -> bool:
            return await self.state() == expected

        try:
            await eventually(settled, PATIENCE_S)
        except AssertionError as late:
            raise AssertionError(f"after {operation}: {await self.state()}, not {expected}") from late
        self.states.append(expected)

    async def state(self) -> State:
        declared = await self.channel.queue_declare(self.queue, passive=True)
        return State(len(self.seen), declared.message_count, declared.consumer_count)

    async def publish(self, count: int) -> None:
        for _ in range(count):
            self._bodies += 1
            body = b"%d" % self._bodies
            await self.publisher.basic_publish(body, routing_key=self.queue, properties=PERSISTENT, mandatory=True)

    async def consume(self, prefetch: int) -> None:
        if self._tag is None:
            await self.channel.basic_qos(prefetch_count=prefetch)
            self._tag = (await self.channel.basic_consume(self.queue, self._take)).consumer_tag

    async def cancel(self) -> None:
        if self._tag is not None:
            await self.channel.basic_cancel(self._tag)
            self._tag = None

    async def get(self) -> None:
        message = await self.channel.basic_get(self.queue)
        if isinstance(message.delivery, Basic.GetOk):
            self._record("get", message)
        else:
            self.seen.append(Seen("empty", "", None, None))

    async def ack(self, index: int, multiple: bool) -> None:
        if self._unsettled:
            await self.channel.basic_ack(self._settle(index, multiple=multiple), multiple=multiple)

    async def nack(self, index: int, multiple: bool, requeue: bool) -> None:
        if self._unsettled:
            await self.channel.basic_nack(self._settle(index, multiple=multiple), multiple=multiple, requeue=requeue)

    async def reject(self, index: int, requeue: bool) -> None:
        if self._unsettled:
            await self.channel.basic_reject(self._settle(index, multiple=False), requeue=requeue)

    async def purge(self) -> None:
        await self.channel.queue_purge(self.queue)

    async def reopen(self) -> None:
        """Close the channel, with what is unsettled."""
        await self.channel.close()
        await self._open()

    async def cut(self) -> None:
        """Lose the connection."""
        await self.connection.close()
        await self.connect()

    async def acknowledge_unknown(self) -> None:
        """Make a mistake, for which the broker closes the channel."""
        closed = asyncio.ensure_future(self.channel.closing)
        await self.channel.basic_ack(1_000_000)
        error = (await asyncio.gather(closed, return_exceptions=True))[0]
        self.seen.append(Seen("error", f"{type(error).__name__}: {error}", None, None))
        await self._open()

    async def _take(self, message: DeliveredMessage) -> None:
        self._record("deliver", message)

    def _record(self, way: str, message: DeliveredMessage) -> None:
        headers = message.header.properties.headers or {}
        returns = headers.get("x-delivery-count") or None  # some versions say 0
        self.seen.append(Seen(way, message.body.decode(), message.redelivered, returns))
        self._unsettled.append(message.delivery_tag or 0)

    def _settle(self, index: int, *, multiple: bool) -> int:
        """Return the tag of one of the unsettled messages, and forget it; with `multiple` also those before it."""
        index %= len(self._unsettled)
        tag = self._unsettled[index]
        del self._unsettled[0 if multiple else index : index + 1]
        return tag
