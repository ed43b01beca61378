"""The replicas of one service, and which of them are left out since they do not answer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any

from services.gateway import metrics
from shared.observability.logs import get_logger

log = get_logger(__name__)

IsAlive = Callable[[int], Awaitable[bool]]
"""Whether that replica answers a request that costs it nothing."""


class Replicas:
    """Gives them in turn, those that are left out last: a service of which none is well is asked all the same.

    A replica is left out when it has failed, or when it is silent and does not say that it is alive either. It comes
    back when it says so, after a pause that grows with each failure in a row. A single one is never left out.
    """

    SUSPECT_AFTER_S = 0.5
    """Who is silent for so long is asked whether it is alive."""
    FIRST_PAUSE_S = 5.0
    LONGEST_PAUSE_S = 60.0

    def __init__(self, service: str, count: int, is_alive: IsAlive, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._service = service
        self._is_alive = is_alive
        self._first_pause_s = first_pause_s
        self._turn = 0
        self._failures = [0] * count
        self._left_out: dict[int, asyncio.Task[None]] = {}
        self._suspected: dict[int, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def close(self) -> None:
        for task in (*self._left_out.values(), *self._suspected.values()):
            task.cancel()

    def next(self) -> int:
        """Whose turn it is."""
        self._turn = (self._turn + 1) % len(self)
        return self.beginning_with(self._turn)[0]

    def in_turn(self) -> list[int]:
        """All of them, in the order in which they are to be tried."""
        return self.beginning_with(self.next())

    def beginning_with(self, first: int) -> list[int]:
        """All of them from this one on, those that are left out at the end."""
        if len(self) == 1:
            return [0]
        order = [number % len(self) for number in range(first, first + len(self))]
        return sorted(order, key=self._left_out.__contains__) if self._left_out else order

    @contextmanager
    def watched(self, replica: int) -> Iterator[None]:
        """Within the block it is waited for: one that is silent for too long must say that it is alive."""
        timer = self.watch(replica)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def watch(self, replica: int) -> asyncio.TimerHandle | None:
        """The same without a block: the timer, to be cancelled when it has answered; none for a single replica."""
        if len(self) == 1:
            return None
        return asyncio.get_running_loop().call_later(self.SUSPECT_AFTER_S, self._suspect, replica)

    def answered(self, replica: int) -> None:
        self._failures[replica] = 0

    def failed(self, replica: int) -> None:
        """It could not be connected to, or let the time run out."""
        if len(self) == 1 or replica in self._left_out:
            return
        self._failures[replica] += 1
        metrics.REPLICAS_LEFT_OUT.labels(self._service).inc()
        log.warning("a replica does not answer; it is left out", service=self._service, replica=replica)
        self._left_out[replica] = self._start(self._bring_back(replica))

    def _suspect(self, replica: int) -> None:
        if replica not in self._left_out and replica not in self._suspected:
            self._suspected[replica] = self._start(self._ask(replica))

    async def _ask(self, replica: int) -> None:
        try:
            if not await self._is_alive(replica):
                self.failed(replica)
        finally:
            del self._suspected[replica]

    async def _bring_back(self, replica: int) -> None:
        pause_s = min(self.LONGEST_PAUSE_S, self._first_pause_s * 2 ** (self._failures[replica] - 1))
        try:
            alive = False
            while not alive:
                await asyncio.sleep(pause_s)
                alive = await self._is_alive(replica)
        finally:
            del self._left_out[replica]
        log.info("the replica answers again", service=self._service, replica=replica)

    @staticmethod
    def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # In a context of its own: it outlives the request that it began with.
        return asyncio.get_running_loop().create_task(work, context=Context())
