"""The cost of an order with all its jobs, and its stored bytes: figures that `make bench` does not measure."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

from tests.support.stack.running import Person
from tests.support.waiting import wait_until
from tools.devstack.system.databases import execute, fetch
from tools.lab.bench import cpu
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.report import Report, spread, table
from tools.lab.bench.system import System, running

PROCESSES = ("gateway", "orders", "worker", "postgres", "rabbitmq", "smtp")
BUYERS, EACH = 16, 60
ITEMS = [{"sku": f"sku-{n}", "name": f"Green tea, {n}", "quantity": n, "unit_price": 1250} for n in (1, 2, 3)]
COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
DONE = "SELECT count(*) FROM jobs WHERE state = 'done' AND event_type = 'order.created'"
JOBS = 4
"""The worker's jobs for an order: mail, analytics, notification, webhooks."""
OF_AN_ORDER = {
    "orders": ("orders", "order_items", "idempotency_keys"),
    "worker": ("jobs", "mails", "notifications", "daily_rollups"),
}
OF_A_USER = {
    "users": ("users", "sessions", "refresh_tokens", "audit"),
    "worker": ("recipients", "user_rollups", "user_status_rollups", "user_currency_rollups"),
}
IDLE_S = 10.0
PADDED = 20_000
"""The number of rows to which a table is filled with copies of its rows; a few hundred rows consist mostly of page
headers."""


@dataclass(frozen=True)
class Window:
    """CPU µs per order, by process."""

    cpu_us: Mapping[str, float]


def run(bed: Bed, scale: Scale) -> list[Report]:
    conditions = Conditions(scale, versions(), f"here a window is {BUYERS * EACH} orders; nothing pinned; fsync on")
    with running(bed) as system:
        buyers = [Person(system.stack) for _ in range(BUYERS)]
        _order(system, buyers, 2, {})  # connections, prepared statements
        idle = _idle(system)
        windows = [_order(system, buyers, EACH, idle) for _ in range(scale.rounds)]
        kept = _kept(system)
        for buyer in buyers:
            buyer.http.close()
    told = conditions.tell()
    costs = {name: spread([window.cpu_us[name] for window in windows]) for name in PROCESSES}
    order = Report("order", [told, table(["", *PROCESSES], [["CPU µs", *(cost.show() for cost in costs.values())]])])
    rows = [[what, f"{size:,.0f}", parts] for what, size, parts in kept]
    return [order, Report("storage", [told, table(["of", "bytes", "the most of it"], rows)])]


def _idle(system: System) -> dict[str, float]:
    """Return the share of a core of each idle process: polling, gauges, probes."""
    used = _cpu(system)
    time.sleep(IDLE_S)
    return {name: (value - used[name]) / IDLE_S for name, value in _cpu(system).items()}


def _order(system: System, buyers: Sequence[Person], each: int, idle: Mapping[str, float]) -> Window:
    """Measure from the first order to the last job, without what an idle system uses in that time."""
    worker = system.databases.worker
    began = time.monotonic()
    [[before]] = fetch(worker, DONE)
    used = _cpu(system)
    with ThreadPoolExecutor(len(buyers)) as pool:
        for placed in [pool.submit(_buy, buyer, each) for buyer in buyers]:
            placed.result()
    orders = each * len(buyers)
    wait_until(lambda: fetch(worker, DONE)[0][0] >= before + JOBS * orders, within=300)
    seconds = time.monotonic() - began
    spent = {name: value - used[name] - seconds * idle.get(name, 0) for name, value in _cpu(system).items()}
    return Window({name: value / orders * 1e6 for name, value in spent.items()})


def _buy(buyer: Person, times: int) -> None:
    for _ in range(times):
        key = {"Idempotency-Key": uuid4().hex}
        buyer.http.post("/v1/orders", json={"currency": "EUR", "items": ITEMS}, headers=key).raise_for_status()


def _cpu(system: System) -> dict[str, float]:
    return {name: cpu.seconds(system.stack.pids(name)) for name in PROCESSES}


def _kept(system: System) -> list[tuple[str, float, str]]:
    """Return the bytes on disk, including indexes, of an order with three lines, and of a user."""
    [[orders]] = fetch(system.databases.orders, "SELECT count(*) FROM orders")
    [[users]] = fetch(system.databases.users, "SELECT count(*) FROM users")
    return [_sum("an order", OF_AN_ORDER, system, orders), _sum("a user", OF_A_USER, system, users)]


def _sum(what: str, tables: Mapping[str, Sequence[str]], system: System, many: int) -> tuple[str, float, str]:
    sizes = {
        name: _bytes_a_row(getattr(system.databases, service), name) * rows / many
        for service, names in tables.items()
        for name in names
        for [rows] in fetch(getattr(system.databases, service), f"SELECT count(*) FROM {name}")
    }
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    return what, sum(sizes.values()), ", ".join(f"{name} {sizes[name]:,.0f}" for name in largest)


def _bytes_a_row(url: str, name: str) -> float:
    """Return the bytes per row in a copy of the table with its indexes and so many rows that pages are full."""
    copy = f"sized_{name}"
    columns = {row["attname"]: row["attname"] for row in fetch(url, COLUMNS, name)}
    fresh = {
        row["attname"]: "gen_random_uuid()" for row in fetch(url, f"{COLUMNS} AND atttypid = 'uuid'::regtype", name)
    }
    fresh |= {"email": "gen_random_uuid() || '@example.com'"} if "email" in columns else {}
    execute(
        url,
        f"CREATE TABLE {copy} (LIKE {name} INCLUDING ALL)",
        f"INSERT INTO {copy} ({', '.join(columns)}) SELECT {', '.join((columns | fresh).values())} FROM {name}, "
        f"generate_series(1, (SELECT {PADDED} / greatest(count(*), 1) + 1 FROM {name})) LIMIT {PADDED}",
    )
    [[size, rows]] = fetch(url, f"SELECT pg_total_relation_size('{copy}'), (SELECT count(*) FROM {copy})")
    execute(url, f"DROP TABLE {copy}")
    return float(size / max(rows, 1))
