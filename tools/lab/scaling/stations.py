"""Simulated processes that serve one request after the other."""

import random
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

Steps = Generator[simpy.Event, Any, None]


@dataclass
class Station:
    """Replicas of one process; each serves one at a time, and takes exponentially distributed seconds for it.

    `shared`: a free replica takes the next request, like the connections of a pool. Otherwise a request is sent to
    the less busy of two replicas chosen at random, which approximates a least-connections balancer.
    """

    env: simpy.Environment
    chance: random.Random
    service_s: float
    servers: int
    shared: bool = False
    zones: int = 1
    most_in_hand: int | None = None
    """The maximum number of requests in one replica; more are refused."""
    gone: set[int] = field(default_factory=set)
    """The zones that do not respond."""

    def __post_init__(self) -> None:
        count, capacity = (1, self.servers) if self.shared else (self.servers, 1)
        self._replicas = [simpy.Resource(self.env, capacity) for _ in range(count)]

    def visit(self) -> Generator[simpy.Event, Any, bool]:
        """Return whether the request was served."""
        replica = self._choose()
        if self.most_in_hand is not None and _in_hand(replica) >= self.most_in_hand:
            return False
        with replica.request() as turn:
            yield turn
            yield self.env.timeout(self.chance.expovariate(1 / self.service_s))
        return True

    def _choose(self) -> simpy.Resource:
        there = [replica for number, replica in enumerate(self._replicas) if number % self.zones not in self.gone]
        return min(self.chance.sample(there, min(2, len(there))), key=_in_hand)


def _in_hand(replica: simpy.Resource) -> int:
    return replica.count + len(replica.queue)


@dataclass(frozen=True)
class Visit:
    """`took_s` of a refused request is the time until the refusal."""

    at: float
    took_s: float
    served: bool


def arrivals(
    env: simpy.Environment, chance: random.Random, rate: float, many: int, visits: list[Visit], path: Any
) -> Steps:
    """Simulate this many arrivals at random intervals; each runs the generator function `path`."""
    for _ in range(many):
        yield env.timeout(chance.expovariate(rate))
        env.process(_timed(env, visits, path))


def _timed(env: simpy.Environment, visits: list[Visit], path: Any) -> Steps:
    began = env.now
    served = yield env.process(path())
    visits.append(Visit(began, env.now - began, served))


def quantile(values: Iterable[float], part: float) -> float:
    """Return the quantile; NaN without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def one_station(
    utilisation: float, servers: int, service_s: float, *, shared: bool, many: int = 15_000, seed: int = 1
) -> Sequence[Visit]:
    """Simulate requests to one station with this utilisation, without the first tenth, while it fills."""
    env, chance = simpy.Environment(), random.Random(seed)
    station = Station(env, chance, service_s, servers, shared)
    visits: list[Visit] = []
    env.process(arrivals(env, chance, utilisation * servers / service_s, many, visits, station.visit))
    env.run()
    return visits[many // 10 :]
