"""Utilisation, waiting callers and refusals of bounded resources, for `/metrics`.

Everything is computed when metrics are read. The counters are plain numbers, without locks, because they are only used
in one event loop.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Literal, NamedTuple

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LABELS = ("pool",)


class WaitQueue:
    """The callers that wait for a place: `with line: take()`. An error of `refusals` counts as a refusal."""

    def __init__(self, refusals: tuple[type[Exception], ...] = (TimeoutError,)) -> None:
        self._refusals = refusals
        self._looked_at = time.monotonic()
        self._waited_s = 0.0
        self.waiting = 0
        self.refused = 0

    @property
    def waited_s(self) -> float:
        """The total waiting time of all past and current waiters."""
        self._moves(0)
        return self._waited_s

    def __enter__(self) -> None:
        self._moves(1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._moves(-1)
        self.refused += isinstance(error, self._refusals)

    def _moves(self, change: int) -> None:
        now = time.monotonic()
        self._waited_s += self.waiting * (now - self._looked_at)
        self._looked_at = now
        self.waiting += change


class CountedSemaphore(asyncio.Semaphore):
    """A semaphore that knows how many of its places are taken."""

    def __init__(self, places: int) -> None:
        super().__init__(places)
        self.places = places
        self.taken = 0
        self.line = WaitQueue()

    async def acquire(self) -> Literal[True]:
        with self.line:
            await super().acquire()
        self.taken += 1
        return True

    def release(self) -> None:
        self.taken -= 1
        super().release()


class Pool(NamedTuple):
    """`limit` is None if there is no limit."""

    in_use: Callable[[], float]
    limit: Callable[[], float | None]
    line: WaitQueue | None = None


class Pools(Collector):
    """The pools of this process by name; a pool that is registered again replaces the previous one."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}
        REGISTRY.register(self)

    def watch(
        self, name: str, in_use: Callable[[], float], limit: Callable[[], float | None], line: WaitQueue | None = None
    ) -> None:
        self._pools[name] = Pool(in_use, limit, line)

    def watch_slots(self, name: str, slots: CountedSemaphore) -> None:
        self.watch(name, lambda: slots.taken, lambda: slots.places, slots.line)

    def describe(self) -> Iterable[Metric]:
        return _families()

    def collect(self) -> Iterable[Metric]:
        in_use, limit, waiting, waited, refused = families = _families()
        for name, pool in self._pools.items():
            in_use.add_metric((name,), pool.in_use())
            if (most := pool.limit()) is not None:
                limit.add_metric((name,), most)
            if pool.line:
                waiting.add_metric((name,), pool.line.waiting)
                waited.add_metric((name,), pool.line.waited_s)
                refused.add_metric((name,), pool.line.refused)
        return families


def _families() -> tuple[
    GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily, CounterMetricFamily
]:
    return (
        GaugeMetricFamily("pool_in_use", "Places in use.", labels=LABELS),
        GaugeMetricFamily("pool_limit", "Total number of places.", labels=LABELS),
        GaugeMetricFamily("pool_waiting", "Callers that wait for a place.", labels=LABELS),
        CounterMetricFamily("pool_wait_seconds_total", "Total waiting time of all callers.", labels=LABELS),
        CounterMetricFamily("pool_refused_total", "Callers that waited and got no place.", labels=LABELS),
    )


POOLS = Pools()
