"""Publisher confirms of one channel."""

import asyncio
from collections.abc import Callable

from pamqp.commands import Basic

from tools.lab.simulation.amqp.broker import Stored

Send = Callable[[Basic.Ack | Basic.Nack], None]


class Confirms:
    """Numbers messages, and confirms them in any order; as RabbitMQ does, one frame confirms all that lie before the
    first unconfirmed message."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._published = 0
        self._open: dict[int, list[Stored]] = {}
        self._done: set[int] = set()
        self._timers: dict[int, asyncio.Handle] = {}
        self._flushing: asyncio.Handle | None = None

    def published(self, stored: list[Stored]) -> int:
        """Number a message that these queues have stored."""
        self._published += 1
        self._open[self._published] = stored
        return self._published

    def confirm(self, tag: int, after_s: float = 0.0) -> None:
        """Confirm a message, together with others of the same moment."""
        if after_s:
            self._timers[tag] = self._loop.call_later(after_s, self.confirm, tag)
            return
        self._timers.pop(tag, None)
        self._done.add(tag)
        if self._flushing is None:
            self._flushing = self._loop.call_soon(self._flush)

    def refuse(self, tag: int) -> None:
        del self._open[tag]
        self._send(Basic.Nack(delivery_tag=tag, requeue=False))

    def close(self) -> None:
        """Confirm nothing any more."""
        for handle in (*self._timers.values(), self._flushing):
            if handle:
                handle.cancel()
        self._timers.clear()

    def _flush(self) -> None:
        self._flushing = None
        first_open = next((tag for tag in self._open if tag not in self._done), self._published + 1)
        before = [tag for tag in self._open if tag < first_open]
        beyond = [tag for tag in self._open if tag > first_open and tag in self._done]
        for tag in (*before, *beyond):
            for queue, message in self._open.pop(tag):
                queue.confirm(message)
        self._done.clear()
        if before:
            self._send(Basic.Ack(delivery_tag=before[-1], multiple=len(before) > 1))
        for tag in beyond:
            self._send(Basic.Ack(delivery_tag=tag))
