"""The cost of panels in a service and its Postgres: one call per panel, and all panels in one call, in two ways.

    python -m tools.lab.bench.panels SERVICE PORT DATABASE_URL

serves only the panels of one service.
"""

import asyncio
import importlib
import random
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
from fastapi import FastAPI

from shared.contracts.panels import PATH, encode
from shared.db.engine import Database, DatabaseSettings, is_outage
from shared.db.migrations import migrate
from shared.http import application
from shared.http.identity import GATEWAY
from shared.http.panel_fast_path import PanelsFastPath
from shared.http.panel_route import Panels
from shared.http.tokens import ServiceTokens
from shared.server import serve
from tools.devstack.system.ports import free_port
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.population import Databases, populate
from tools.lab.bench.report import Report, ratios, spread, table

NAME = "panels"
PANELS = {"users": ["user"], "orders": ["orders"], "worker": ["notifications", "analytics"]}
SIZES, SMALL_SIZES = (1_000, 1_000_000), (200, 400)
ORDERS_EACH = 20
BATCHES = (1, 8, 32)
USERS, SMALL_USERS = 1280, 64
"""The number of users whose panels are read in each window."""
CONNECTIONS = 4
SECRET = "an internal secret that is long enough"
OLD, ROUTE, FAST = "one call per panel", "one call, FastAPI", "one call, fast path"
WAYS = (OLD, ROUTE, FAST)
POSTGRES_CPU = """
    SELECT coalesce(sum(split_part(pg_read_file('/proc/' || pid || '/schedstat'), ' ', 1)::bigint), 0)::bigint
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Case:
    """A service, the number of orders in its database, and the number of users per call."""

    service: str
    orders: int
    batch: int


@dataclass(frozen=True)
class Cost:
    """CPU µs per user."""

    service: float
    postgres: float


@dataclass(frozen=True)
class Served:
    """A running service with its database."""

    pid: int
    port: int
    database: str
    ids: Sequence[UUID]


def request(way: str, panel: str | None, panels: Sequence[str], ids: Sequence[UUID]) -> bytes:
    """Return a request like the gateway's. FastAPI handles it if the scheme is spelled differently."""
    scheme = "bearer" if way == ROUTE else "Bearer"
    body = encode({"ids": ids} if panel else {"panels": panels, "ids": ids})
    head = (
        f"POST {PATH}{'/' + panel if panel else ''} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: {scheme} {ServiceTokens(SECRET, GATEWAY).token()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def requests(way: str, case: Case, ids: Sequence[UUID], users: int) -> list[bytes]:
    panels = PANELS[case.service]
    groups = [random.sample(ids, min(case.batch, len(ids))) for _ in range(users // case.batch)]
    asked: Sequence[str | None] = panels if way == OLD else [None]
    return [request(way, panel, panels, group) for group in groups for panel in asked]


async def send(port: int, waiting: Iterator[bytes]) -> None:
    """Send the remaining requests on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    for each in waiting:
        writer.write(each)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n", 1)[0]))
    writer.close()
    await writer.wait_closed()


def cpu_s(pid: int) -> float:
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


async def measure(served: Served, way: str, case: Case, users: int) -> Cost:
    waiting = requests(way, case, served.ids, users)
    connection = await asyncpg.connect(served.database)
    try:
        postgres, service = await connection.fetchval(POSTGRES_CPU), cpu_s(served.pid)
        left = iter(waiting)
        await asyncio.gather(*(send(served.port, left) for _ in range(CONNECTIONS)))
        service_s, postgres_ns = cpu_s(served.pid) - service, await connection.fetchval(POSTGRES_CPU) - postgres
    finally:
        await connection.close()
    done = users // case.batch * case.batch
    return Cost(service_s / done * 1e6, postgres_ns / done / 1e3)


async def measure_all(running: Mapping[tuple[str, int], Served], scale: Scale) -> dict[Case, dict[str, list[Cost]]]:
    users = SMALL_USERS if scale.small else USERS
    cases = [Case(service, orders, batch) for (service, orders), batch in product(running, BATCHES)]
    found: dict[Case, dict[str, list[Cost]]] = {case: {way: [] for way in WAYS} for case in cases}
    for number in range(scale.rounds + 1):
        for case, way in product(cases, WAYS):
            cost = await measure(running[case.service, case.orders], way, case, users)
            if number or scale.small:  # the first round warms up
                found[case][way].append(cost)
    return found


@contextmanager
def databases(bed: Bed, name: str) -> Iterator[Databases]:
    postgres = bed.backends.postgres
    names = {service: f"bench_{service}_{name}_{uuid4().hex[:8]}" for service in PANELS}
    try:
        urls = {service: postgres.create_database(database) for service, database in names.items()}
        for service, url in urls.items():
            migrate(service, url)
        yield Databases(**urls)
    finally:
        for database in names.values():
            postgres.drop_database(database)


def start(bed: Bed, service: str, url: str, ids: Sequence[UUID]) -> Served:
    port = free_port()
    child = bed.python(f"{service}-{port}", "-m", "tools.lab.bench.panels", service, str(port), url)
    bed.serving(child, port)
    return Served(child.pid, port, url, ids)


def run(bed: Bed, scale: Scale) -> Report:
    conditions = Conditions(scale, versions("asyncpg", "uvicorn"), f"here a window is {USERS:,} users; fsync off")
    report = Report(NAME)
    sizes = SMALL_SIZES if scale.small else SIZES
    with ExitStack() as stack:
        running: dict[tuple[str, int], Served] = {}
        for size in sizes:
            made = stack.enter_context(databases(bed, str(size)))
            ids = [uuid4() for _ in range(size // ORDERS_EACH)]
            asyncio.run(populate(made, ids, ORDERS_EACH))
            for service in PANELS:
                running[service, size] = start(bed, service, getattr(made, service), ids)
        found = asyncio.run(measure_all(running, scale))
    report.add(conditions.tell(), *_tables(found, sizes))
    return report


def _tables(found: Mapping[Case, Mapping[str, Sequence[Cost]]], sizes: Sequence[int]) -> Iterator[str]:
    for process, field in (("the service process", "service"), ("Postgres", "postgres")):
        yield f"CPU µs of {process}, per user with all panels of the service:"
        yield table(
            ["service", "orders", "users per call", *WAYS, "ratio of the last to the first"],
            [
                _row(case, {way: [getattr(cost, field) for cost in costs[way]] for way in WAYS})
                for case, costs in found.items()
            ],
        )
    yield f"Both together by the fast path, {sizes[1]:,} orders against {sizes[0]:,}, all services; target ≤ 1.2:"
    yield table(
        ["users per call", *(f"{size:,} orders" for size in sizes), "ratio"],
        [_growth(found, sizes, batch) for batch in BATCHES],
    )


def _row(case: Case, costs: Mapping[str, Sequence[float]]) -> list[str]:
    ratio = ratios(costs[FAST], costs[OLD]).show(2)
    figures = [spread(costs[way]).show() for way in WAYS]
    return [case.service, f"{case.orders:,}", str(case.batch), *figures, ratio]


def _growth(found: Mapping[Case, Mapping[str, Sequence[Cost]]], sizes: Sequence[int], batch: int) -> list[str]:
    few, many = ([_whole(found, size, batch, number) for number in _rounds(found)] for size in sizes)
    return [str(batch), spread(few).show(), spread(many).show(), ratios(many, few).show(2)]


def _rounds(found: Mapping[Case, Mapping[str, Sequence[Cost]]]) -> range:
    return range(min(len(costs[FAST]) for costs in found.values()))


def _whole(found: Mapping[Case, Mapping[str, Sequence[Cost]]], orders: int, batch: int, number: int) -> float:
    """Return the cost of all services in one round."""
    costs = [found[Case(service, orders, batch)][FAST][number] for service in PANELS]
    return sum(cost.service + cost.postgres for cost in costs)


def serve_panels(service: str, port: int, url: str) -> None:
    """Serve the panels of a service until SIGTERM."""
    settings = DatabaseSettings(
        environment="development", internal_token_secret=SECRET, database_url=url, port=port, log_level="WARNING"
    )
    panels: Panels = importlib.import_module(f"services.{service}.main").PANELS

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Database.open(settings) as db:
            app.state.db = db
            yield

    app = application.create_app(service, settings, lifespan=lifespan, routes=panels.routes(), is_outage=is_outage)
    app.fast_path = PanelsFastPath(app.state, panels)
    serve.run(service, app, settings)


if __name__ == "__main__":
    serve_panels(sys.argv[1], int(sys.argv[2]), sys.argv[3])
