"""Three ways to collect the messages of a job with batches: the cost of an event with its whole effect."""

import asyncio
from collections import defaultdict
from functools import partial

from tools.devstack.system.processes import Child
from tools.lab.bench import queueing
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.consumers import Consumer
from tools.lab.bench.queueing import Place
from tools.lab.bench.report import Report, ratios, spread, table
from tools.lab.bench.worker import Cost, measure

NAME = "batches"
EVENTS, FEW = 12_000, 200
CHOSEN = "collect"
WAYS = {
    CHOSEN: "aio-pika's callback, on the subscriber's queue",
    "handle": "FastStream's handler",
    "iterate": "FastStream's iterator",
}


def run(bed: Bed, scale: Scale) -> Report:
    count = FEW if scale.small else EVENTS
    what = f"here a window is {count} events of the job `analytics`, quorum queues, fsync off"
    conditions = Conditions(scale, versions("aio-pika", "faststream"), what)
    costs: dict[str, list[Cost]] = defaultdict(list)
    with queueing.place(bed, "worker") as place:
        for _ in range(scale.rounds):
            for way in WAYS:
                consumer = Consumer(way, "faststream", "RabbitMQ", partial(_start, way), _fill)
                costs[way].append(asyncio.run(measure(bed, place, consumer, count)))
    report = Report(NAME)
    report.add(conditions.tell(), _table(costs))
    return report


def _fill(place: Place, count: int) -> None:
    queueing.fill_analytics(place.rabbitmq_url, count)


def _start(way: str, bed: Bed, place: Place) -> Child:
    return queueing.serve(bed, "worker", place, "tools.lab.bench.batches_worker", way)


def _table(costs: dict[str, list[Cost]]) -> str:
    rows = [
        [
            WAYS[way],
            spread([cost.python for cost in found]).show(),
            ratios([cost.python for cost in found], [cost.python for cost in costs[CHOSEN]]).show(2),
            spread([cost.postgres for cost in found]).show(),
            spread([cost.rate for cost in found]).show(),
        ]
        for way, found in costs.items()
    ]
    head = ["messages are taken by", "Python, µs per event", "ratio", "Postgres, µs per event", "events/s"]
    return table(head, rows)
