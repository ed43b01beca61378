"""How much of what is bounded is in use, who waits for it, and who got nothing, for `/metrics`.

Everything is looked at when metrics are read: what is counted in between are plain numbers, without locks, since all
of it happens in one event loop.
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
    """Those who stand in line for a place: `with line: take()`. An error of `refusals` is one who got none."""

    def __init__(self, refusals: tuple[type[Exception], ...] = (TimeoutError,)) -> None:
        self._refusals = refusals
        self._looked_at = time.monotonic()
        self._waited_s = 0.0
        self.waiting = 0
        self.refused = 0

    @property
    def waited_s(self) -> float:
        """All who have waited and wait, together."""
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
    """`limit` is None while there is no bound."""

    in_use: Callable[[], float]
    limit: Callable[[], float | None]
    line: WaitQueue | None = None


class Pools(Collector):
    """The pools of this process by name; one that is watched again takes the place of the one before."""

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
        GaugeMetricFamily("pool_in_use", "Places that are taken.", labels=LABELS),
        GaugeMetricFamily("pool_limit", "Places that there are.", labels=LABELS),
        GaugeMetricFamily("pool_waiting", "Who waits for a place.", labels=LABELS),
        CounterMetricFamily("pool_wait_seconds_total", "What all who waited have waited, together.", labels=LABELS),
        CounterMetricFamily("pool_refused_total", "Those who waited and got no place.", labels=LABELS),
    )


POOLS = Pools()
