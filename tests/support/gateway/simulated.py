"""A gateway on a clock of its own: one event loop that works off what is ready, then reads what has come."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from services.gateway.limits.load_shedding import LoadShedder, RouteClass

STEPS = 3
"""A request is worked on so often, and waits for a service in between."""


@dataclass
class Costs:
    """Of processor time, in seconds; `service_s` is how long a service takes, and costs nothing."""

    answer_s: float = 0.0006
    refuse_s: float = 0.00004
    service_s: float = 0.002

    @property
    def capacity(self) -> float:
        return 1 / self.answer_s


@dataclass
class Seen:
    """`accepted`: when each came, and how long it took."""

    accepted: list[tuple[float, float]] = field(default_factory=list)
    refused: list[tuple[float, RouteClass]] = field(default_factory=list)

    def latency(self, share: float, since: float = 0) -> float:
        ranked = sorted(took for came, took in self.accepted if came >= since)
        return ranked[int(share * len(ranked))]


def arrivals(
    rate: float, seconds: float, since: float = 0, kind: RouteClass = "read"
) -> Iterator[tuple[float, RouteClass]]:
    """At a fixed rate, whatever becomes of those before."""
    return ((since + number / rate, kind) for number in range(int(rate * seconds)))


def stalls(every_s: float, length_s: float, seconds: float) -> Iterator[tuple[float, float]]:
    """The processor is given to somebody else: from when, and for how long."""
    return ((start * every_s, length_s) for start in range(1, int(seconds / every_s)))


def simulate(
    overload: LoadShedder,
    coming: Iterable[tuple[float, RouteClass]],
    costs: Costs | None = None,
    stalled: Iterable[tuple[float, float]] = (),
    tick_s: float = 0.01,
    again_until: float = 0.0,
) -> Seen:
    """What becomes of these requests. Whoever is answered comes again at once, until that time."""
    costs = costs or Costs()
    seen, numbers = Seen(), count()
    queue, pauses = deque(sorted(coming)), deque(stalled)
    ready: list[tuple[float, int]] = []  # when it came, and the step it is at
    away: list[tuple[float, int, float, int]] = []  # at a service: until when, ...
    now, tick, idle, looked = 0.0, tick_s, 0.0, 0.0
    while queue or ready or away:
        if not ready:
            until = max(now, _next(queue, away, tick))
            idle, now = idle + until - now, until
        if pauses and pauses[0][0] <= now:
            _, length = pauses.popleft()
            idle, now = idle + length, now + length
        if tick <= now:
            overload.look(now - tick, now - looked - idle, now)
            tick, looked, idle = now + tick_s, now, 0.0
        working, ready = ready, []
        for came, step in working:
            now += costs.answer_s / STEPS
            if step < STEPS:
                heapq.heappush(away, (now + costs.service_s, next(numbers), came, step + 1))
            else:
                overload.leave()
                seen.accepted.append((came, now - came))
                if now < again_until:
                    queue.append((now, "read"))
        ready += _back(away, now)
        until = now
        while queue and queue[0][0] <= until:
            came, kind = queue.popleft()
            if overload.is_full(kind):
                now += costs.refuse_s
                seen.refused.append((came, kind))
            else:
                overload.enter()
                ready.append((came, 1))
    return seen


def _back(away: list[tuple[float, int, float, int]], now: float) -> Iterator[tuple[float, int]]:
    """Those whose service has answered."""
    while away and away[0][0] <= now:
        yield heapq.heappop(away)[2:]


def _next(queue: deque[tuple[float, RouteClass]], away: list[tuple[float, int, float, int]], tick: float) -> float:
    """When there is something to do again."""
    return min(tick, queue[0][0] if queue else tick, away[0][0] if away else tick)
