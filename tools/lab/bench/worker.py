"""An analytics event with its idempotent effect: our worker, and task frameworks that fill the same tables."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from tools.lab.bench import cpu, queueing
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.consumers import CONSUMERS, OURS, PLAIN, WITHIN_S, Consumer, Running
from tools.lab.bench.peers.effect import ITEMS, TOTAL
from tools.lab.bench.queueing import Place
from tools.lab.bench.report import Report, ratios, spread, table

NAME = "worker"
EVENTS, KILLED_EVENTS, FEW = 12_000, 4_000, 200
STARTED = 0.25
"""The share of the events after which counting begins; by then every process has started. Events that are sent to a
process that has started are counted from the first, because it accepts more of them than it has done."""
QUIET_S = 45
"""After a kill, the time without any progress after which the events that are not done count as lost. Longer than any
process takes to start on a busy machine."""
PACKAGES = (
    *("aio-pika", "faststream", "celery", "dramatiq", "taskiq", "taskiq-aio-pika", "procrastinate", "fastapi"),
    *("uvicorn", "asyncpg", "psycopg"),
)
TABLES = ("jobs", "user_rollups", "user_status_rollups", "user_currency_rollups", "daily_rollups")
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
DONE = "SELECT count(*) FROM jobs WHERE state = 'done' AND event_type <> 'task.tick'"
"""Does not count the runs of the worker's own schedules."""
SUMS = """
    SELECT (SELECT sum(orders) FROM user_rollups), (SELECT sum(items) FROM user_rollups),
        (SELECT sum(orders) FROM user_status_rollups), (SELECT sum(orders) FROM user_currency_rollups),
        (SELECT sum(revenue) FROM user_currency_rollups), (SELECT sum(orders) FROM daily_rollups),
        (SELECT sum(revenue) FROM daily_rollups)
"""


class ConsumerStopped(Exception):
    """A process ended, or made no progress; the message has the end of its log."""


class WrongSums(Exception):
    """The tables do not have every event exactly once."""


@dataclass(frozen=True)
class Cost:
    """CPU µs per event, and events per second."""

    python: float
    postgres: float
    rate: float


def run(bed: Bed, scale: Scale) -> Report:
    compared = [one for one in CONSUMERS if scale.peers or one.name in (OURS, PLAIN)]
    present = [one for one in compared if not one.missing()]
    count, killed = (FEW, FEW) if scale.small else (EVENTS, KILLED_EVENTS)
    conditions = Conditions(scale, versions(*PACKAGES), f"here a window is {count} events, quorum queues, fsync off")
    costs: dict[str, list[Cost]] = defaultdict(list)
    with queueing.place(bed, "worker") as place:
        for _ in range(scale.rounds):
            for one in present:
                costs[one.name].append(asyncio.run(measure(bed, place, one, count)))
        killed_ones = present if scale.peers else []
        lost = {one.name: asyncio.run(lost_by_kill(bed, place, one, killed)) for one in killed_ones}
    report = Report(NAME)
    report.add(conditions.tell(), _table(present, costs), "Ratios, round by round:", _ratios(costs))
    if lost:
        kills = f"The process is killed when half of {killed:,} events are done, and started again:"
        report.add(kills, _kills(present, lost))
    report.add(*(f"Not measured: {one.name} (`uv sync --group bench`)." for one in compared if one.missing()))
    return report


async def measure(bed: Bed, place: Place, one: Consumer, count: int) -> Cost:
    """Count until every event is done. Raises `WrongSums` if one is missing or counted twice."""
    running = await asyncio.to_thread(Running.begin, bed, place, one, count)
    connection = await asyncpg.connect(place.database_url)
    try:
        done, began, python, postgres = await _sample(connection, running, 0 if one.send else round(count * STARTED))
        all_done, ended, python_end, postgres_end = await _sample(connection, running, count)
        await verify(connection, count)
    finally:
        await _end(bed, running, connection)
    between = max(1, all_done - done)
    each = 1e6 / between
    return Cost((python_end - python) * each, (postgres_end - postgres) * each, between / (ended - began))


async def lost_by_kill(bed: Bed, place: Place, one: Consumer, count: int) -> int:
    """Kill the consumer when half of the events are done, start it again, and return how many never are."""
    running = await asyncio.to_thread(Running.begin, bed, place, one, count)
    connection = await asyncpg.connect(place.database_url)
    try:
        await _sample(connection, running, count // 2)
        running.consumer.kill()
        bed.end(running.consumer)
        running.consumer = await asyncio.to_thread(one.start, bed, place)
        done = await _done_at_last(connection, running, count)
        await verify(connection, done)
    finally:
        await _end(bed, running, connection)
    return count - done


async def _sample(connection: asyncpg.Connection, running: Running, least: int) -> tuple[int, float, float, float]:
    """Return a sample as soon as this many events are done: their number, the time, and the CPU of the consumer and of
    its backends."""
    ends = time.monotonic() + WITHIN_S
    while (done := await connection.fetchval(DONE)) < least:
        if time.monotonic() > ends:
            raise _stopped(running, done, least)
        _check(running, done, least)
        await asyncio.sleep(0.02)
    backends = [row["pid"] for row in await connection.fetch(BACKENDS)]
    return done, time.monotonic(), cpu.seconds([running.consumer.pid]), cpu.seconds(backends)


async def _done_at_last(connection: asyncpg.Connection, running: Running, count: int) -> int:
    """Wait until every event is done, or until none was for `QUIET_S`, and return how many are."""
    done, since = 0, time.monotonic()
    while done < count and time.monotonic() - since < QUIET_S:
        _check(running, done, count)
        await asyncio.sleep(0.02)
        if (now_done := await connection.fetchval(DONE)) > done:
            done, since = now_done, time.monotonic()
    return done


def _check(running: Running, done: int, least: int) -> None:
    if running.failed():
        raise _stopped(running, done, least)


def _stopped(running: Running, done: int, least: int) -> ConsumerStopped:
    child = running.failed() or running.consumer
    return ConsumerStopped(f"{child.name} at {done} of {least}: {child.log.read_text()[-2000:]}")


async def verify(connection: asyncpg.Connection, done: int) -> None:
    """Raises `WrongSums` unless the sums are those of this many events."""
    sums = tuple(await connection.fetchrow(SUMS) or ())
    expected = (done, done * ITEMS, done, done, done * TOTAL, done, done * TOTAL)
    if sums != expected:
        raise WrongSums(f"{sums} instead of {expected}")


async def _end(bed: Bed, running: Running, connection: asyncpg.Connection) -> None:
    """End the processes before their tables are emptied, so that no late event stays in them."""
    try:
        running.end(bed)
        await connection.execute(f"TRUNCATE {', '.join(TABLES)}")
    finally:
        await connection.close()


def _table(consumers: Sequence[Consumer], costs: dict[str, list[Cost]]) -> str:
    rows = [
        [
            one.name,
            one.queue,
            spread([cost.python for cost in costs[one.name]]).show(),
            spread([cost.postgres for cost in costs[one.name]]).show(),
            spread([cost.rate for cost in costs[one.name]]).show(),
        ]
        for one in consumers
    ]
    return table(["", "queue", "Python, µs per event", "Postgres, µs per event", "events/s"], rows)


def _ratios(costs: dict[str, list[Cost]]) -> str:
    def row(other: str, target: Sequence[str]) -> list[str]:
        ours, theirs = costs[OURS], costs[other]
        python = ratios([cost.python for cost in ours], [cost.python for cost in theirs])
        postgres = ratios([cost.postgres for cost in ours], [cost.postgres for cost in theirs])
        return [f"{OURS} / {other}", python.show(2), postgres.show(2), *target]

    targets = {PLAIN: ("≤ 0.25", "≤ 0.10")}
    head = ["", "Python", "Postgres", "target Python", "target Postgres"]
    return table(head, [row(name, targets.get(name, ("", ""))) for name in costs if name != OURS])


def _kills(consumers: Sequence[Consumer], lost: dict[str, int]) -> str:
    rows = [[one.name, f"{lost[one.name]:,}", one.caveat] for one in consumers]
    return table(["", "events not done", "not guaranteed"], rows)
