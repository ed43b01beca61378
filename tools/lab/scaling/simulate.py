"""Simulated limits: busy stations, unequal users, and a lost zone."""

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from math import ceil, isinf
from typing import Any

import simpy

from tools.lab.bench.report import table
from tools.lab.scaling.figures import Measured
from tools.lab.scaling.queues import drain_time, stay_quantile
from tools.lab.scaling.stations import Station, Visit, arrivals, one_station, quantile

UTILISATIONS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
REPLICAS = (1, 3, 12)
SHARDS = (4, 8, 32, 128)
SKEWS = (0.0, 0.6, 0.8, 1.0, 1.2)
PEOPLE = 100_000
MANY = 6_000
"""The number of requests; more with a higher utilisation, because a queue then needs longer to reach its final
length."""
ZONES = 3
REPLICAS_OF_LOST_ZONE = 6
GATEWAYS, PANELS = 12, 4
MOST_IN_HAND = 256
"""The gateway's `shed_most_in_hand`."""
BEFORE_S, AFTER_S = 0.5, 4.0


def busy(measured: Measured) -> str:
    """Return the 99th percentile of a dashboard's time in the gateway, by the utilisation of its replicas."""
    service = measured.dashboard.gateway / 1e6
    rows = []
    for utilisation in UTILISATIONS:
        many = round(MANY / (1 - utilisation))
        stays = [one_station(utilisation, servers, service, shared=False, many=many) for servers in REPLICAS]
        found = [_ms(quantile((visit.took_s for visit in stay), 0.99)) for stay in stays]
        rows.append([f"{utilisation:.0%}", *found, _ms(stay_quantile(utilisation, service, 0.99))])
    return table(["busy", *(f"{servers} replicas" for servers in REPLICAS), "formula, 1 replica"], rows)


def whole_dashboard(measured: Measured, many: int = 6_000) -> str:
    """Return the time in the gateway and then in the services at the same time, each with its share of Postgres."""
    rows = []
    for utilisation in UTILISATIONS:
        stays = [visit.took_s for visit in _dashboards(measured, utilisation, many)]
        rows.append([f"{utilisation:.0%}", *(_ms(quantile(stays, part)) for part in (0.5, 0.9, 0.99))])
    return table(["busy", "p50", "p90", "p99"], rows)


def _dashboards(measured: Measured, utilisation: float, many: int) -> Sequence[Visit]:
    """Simulate twelve gateways, and as many whole processes of everything behind them as have the same utilisation."""
    env, chance = simpy.Environment(), random.Random(2)
    cost = measured.dashboard
    scale = GATEWAYS / cost.gateway

    def station(microseconds: float, calls: int = 1, *, shared: bool = False) -> Station:
        return Station(env, chance, microseconds / calls / 1e6, ceil(microseconds * scale), shared)

    gateway, postgres = station(cost.gateway), station(cost.postgres, PANELS, shared=True)
    users, orders, worker = station(cost.users), station(cost.orders), station(cost.worker, 2)
    rate = utilisation * scale * 1e6

    def panel(service: Station) -> Generator[simpy.Event, Any, None]:
        yield env.process(service.visit())
        yield env.process(postgres.visit())

    def path() -> Generator[simpy.Event, None, bool]:
        yield env.process(gateway.visit())
        yield env.all_of([env.process(panel(service)) for service in (users, orders, worker, worker)])
        return True

    visits: list[Visit] = []
    env.process(arrivals(env, chance, rate, many, visits, path))
    env.run()
    return visits[many // 10 :]


def hot_users(seed: int = 4) -> str:
    """Return the load of the busiest shard relative to the mean, with users placed at random."""
    rows = []
    for skew in SKEWS:
        weights = [rank**-skew for rank in range(1, PEOPLE + 1)]
        total = sum(weights)
        hottest = [hottest_shard([weight / total for weight in weights], shards, seed) for shards in SHARDS]
        rows.append([f"{skew:g}", f"{weights[0] / total:.2%}", *(f"{one:.2f}" for one in hottest)])
    return table(["skew", "of the busiest user", *(f"{shards} shards" for shards in SHARDS)], rows)


def hottest_shard(shares: Sequence[float], shards: int, seed: int, rounds: int = 5) -> float:
    """Return the load relative to the mean: the median of several placements."""
    found = []
    for number in range(rounds):
        chance = random.Random(seed * 1000 + number)
        loads = [0.0] * shards
        for share in shares:
            loads[chance.randrange(shards)] += share
        found.append(max(loads) * shards)
    return sorted(found)[rounds // 2]


@dataclass(frozen=True)
class LostZone:
    """99th percentiles of accepted requests before and after the loss, and the share that was refused then."""

    before_s: float
    after_s: float
    refused: float


def lost_zone(measured: Measured) -> str:
    """Simulate the sudden loss of one of three zones of gateways; its requests go to the others."""
    service = measured.dashboard.gateway / 1e6
    rows = []
    for utilisation in (0.4, 0.5, 0.6, 0.65, 0.7, 0.8):
        found = lose_zone(utilisation, service)
        then = utilisation * ZONES / (ZONES - 1)
        rows.append(
            [f"{utilisation:.0%}", f"{then:.0%}", _ms(found.before_s), _ms(found.after_s), f"{found.refused:.1%}"]
        )
    return table(["busy before", "needed after", "p99 before", "p99 after", "refused after"], rows)


def lose_zone(utilisation: float, service_s: float, after_s: float = AFTER_S) -> LostZone:
    env, chance = simpy.Environment(), random.Random(5)
    station = Station(env, chance, service_s, REPLICAS_OF_LOST_ZONE, zones=ZONES, most_in_hand=MOST_IN_HAND)
    rate = utilisation * REPLICAS_OF_LOST_ZONE / service_s
    visits: list[Visit] = []

    def lose() -> Generator[simpy.Event, None, None]:
        yield env.timeout(BEFORE_S)
        station.gone.add(0)

    env.process(lose())
    env.process(arrivals(env, chance, rate, int(rate * (BEFORE_S + after_s)), visits, station.visit))
    env.run()
    before = [visit.took_s for visit in visits if visit.at < BEFORE_S]
    after = [visit for visit in visits if visit.at >= BEFORE_S]
    served = [visit.took_s for visit in after if visit.served]
    return LostZone(quantile(before, 0.99), quantile(served, 0.99), 1 - len(served) / len(after))


def backlog() -> str:
    """Return the time that the worker needs for the backlog of an outage of itself or of RabbitMQ."""
    outages = {"10 s": 10.0, "1 min": 60.0, "10 min": 600.0, "1 h": 3600.0}
    rows = [
        [f"{utilisation:.0%}", *(_duration(drain_time(seconds, utilisation)) for seconds in outages.values())]
        for utilisation in (0.3, 0.5, 0.7, 0.9)
    ]
    return table(["busy", *(f"away for {outage}" for outage in outages)], rows)


def _ms(seconds: float) -> str:
    return "no end" if isinf(seconds) else f"{seconds * 1000:.1f} ms"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
