r"""Reports of a million orders: rows per second against `psql \copy` of the same query, and memory.

The download goes through the gateway and the orders service to curl. Downloads and psql take turns on the same tables.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from services.orders.reports import ORDERS
from shared.db.migrations import migrate
from tools.devstack.servers.postgres import binary
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Child
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, version_of, versions
from tools.lab.bench.contestants import SECRET, Audience, all_at, gateway_environment, stub
from tools.lab.bench.report import Report, Spread, ratios, spread, table

NAME = "reports"
LARGE, SMALL_REPORT = 1_000_000, 10_000
PSQL, PLAIN, GZIP = "psql \\copy", "report", "report, gzip"
TARGET, MEMORY_TARGET = "≥ 0.7", "≤ 16"
PERIOD = ("2026-01-01", "2026-12-31")
ADD_ORDERS = """
    INSERT INTO orders (user_id, id, status, currency, total, item_count, mail, created_at, updated_at)
    SELECT $1, (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid, 'paid', 'EUR', 4999, 2, false,
        '2026-01-01'::timestamptz + n * interval '20 seconds', '2026-02-01'
    FROM generate_series(1, $2::int) AS n
"""
ADD_ITEMS = """
    INSERT INTO order_items (user_id, order_id, position, sku, name, quantity, unit_price)
    SELECT user_id, id, 1, 'SKU-1', 'An article, number 1', 2, 2499 FROM orders WHERE user_id = $1
"""


@dataclass(frozen=True)
class Ground:
    """`downloads`: the path of a report's download and its caller's token, by the number of its rows."""

    url: str
    database: str
    downloads: Mapping[int, tuple[UUID, str]]
    processes: Mapping[str, Child]

    def report(self, rows: int, *, gzip: bool) -> None:
        _, token = self.downloads[rows]
        accepted = "gzip" if gzip else "identity"
        url = f"{self.url}/v1/reports/{uuid4()}/download"
        headers = ("-H", f"Authorization: {token}", "-H", f"Accept-Encoding: {accepted}")
        # curl fails if a chunked response is truncated.
        subprocess.run(["curl", "-sf", "-o", "/dev/null", *headers, url], check=True)

    def psql(self, rows: int) -> None:
        user_id, _ = self.downloads[rows]
        arguments = (f"'{user_id}'", f"'{PERIOD[0]}'", f"'{PERIOD[1]}'::timestamptz + interval '1 day'")
        query = ORDERS["spreadsheet"]
        for number, argument in enumerate(arguments, 1):
            query = query.replace(f"${number}", argument)
        command = f"\\copy ({' '.join(query.split())}) TO '/dev/null' WITH (FORMAT csv, HEADER)"
        subprocess.run([psql_binary(), self.database, "-qc", command], check=True)


def psql_binary() -> str:
    """Return the psql of the machine, or that of the private servers."""
    if found := shutil.which("psql"):
        return found
    return str(binary("psql"))


def run(bed: Bed, scale: Scale) -> Report:
    sizes = (200, 100) if scale.small else (LARGE, SMALL_REPORT)
    conditions = Conditions(
        scale,
        versions("asyncpg", "uvicorn", "pyqwest"),
        version_of("curl", "--version").split(" (")[0],
        f"here a window is one report of {sizes[0]:,} rows; nothing pinned; fsync off",
    )
    with grounds(bed, sizes) as ground:
        seconds = speeds(ground, sizes[0], scale)
        peaks = memory(ground, sizes, scale)
    report = Report(NAME)
    report.add(conditions.tell(), *_speed_tables(seconds, sizes[0]), *_memory_tables(peaks, sizes))
    return report


def speeds(ground: Ground, rows: int, scale: Scale) -> dict[str, list[float]]:
    """Return the seconds of each way."""
    ways: dict[str, Callable[[], None]] = {
        PSQL: lambda: ground.psql(rows),
        PLAIN: lambda: ground.report(rows, gzip=False),
        GZIP: lambda: ground.report(rows, gzip=True),
    }
    ground.psql(rows)  # so that no contestant is the first to read the tables
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(scale.rounds):
        for name, way in ways.items():
            began = time.monotonic()
            way()
            found[name].append(time.monotonic() - began)
    return found


def memory(ground: Ground, sizes: Sequence[int], scale: Scale) -> dict[tuple[str, int, str], list[float]]:
    """Return the peak MiB of each process during the download, by size and way. Both sizes have been downloaded
    before."""
    found: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for _ in range(scale.rounds):
        for gzip, way in ((False, PLAIN), (True, GZIP)):
            for rows in reversed(sizes):
                for child in ground.processes.values():
                    _forget_peak(child.pid)
                ground.report(rows, gzip=gzip)
                for name, child in ground.processes.items():
                    found[name, rows, way].append(_peak_mib(child.pid))
    return found


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak_mib(pid: int) -> float:
    [line] = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


@contextmanager
def grounds(bed: Bed, sizes: Sequence[int]) -> Iterator[Ground]:
    """Provide users with this many orders, the orders service and the gateway; a stub knows the report."""
    name = f"bench_{uuid4().hex[:12]}"
    url = bed.backends.postgres.create_database(name)
    audience = Audience(len(sizes))
    downloads = {
        rows: (user_id, request.headers["Authorization"])
        for rows, user_id, request in zip(sizes, audience.ids, audience.with_tokens({}), strict=True)
    }
    children: dict[str, Child] = {}
    try:
        migrate("orders", url)
        asyncio.run(_populate(url, {user_id: rows for rows, (user_id, _) in downloads.items()}))
        known = stub(bed, audience.jwks)
        children["orders"], orders_url = _start(bed, "orders", _orders_environment(bed, url))
        backends = all_at(known) | {"orders": orders_url}
        children["gateway"], gateway_url = _start(bed, "gateway", gateway_environment(bed, 0, backends, known))
        yield Ground(gateway_url, url, downloads, children)
    finally:
        bed.end(*children.values())
        bed.backends.postgres.drop_database(name)


def _orders_environment(bed: Bed, database: str) -> dict[str, str]:
    return {
        "ENVIRONMENT": "development",
        "INTERNAL_TOKEN_SECRET": SECRET,
        "ORDERS_DATABASE_URL": database,
        "ORDERS_RABBITMQ_URL": bed.backends.rabbitmq.url,
    }


def _start(bed: Bed, service: str, environment: Mapping[str, str]) -> tuple[Child, str]:
    """Start a process on the core that is free."""
    port = free_port()
    env = {**environment, f"{service.upper()}_PORT": str(port)}
    command = [sys.executable, "-m", "tools.cli.main", "serve", service]
    child = bed.processes.spawn(service, command, log=bed.folder / f"{service}.log", env=os.environ | env)
    url = f"http://127.0.0.1:{port}"
    return bed.ready(child, f"{url}/readyz"), url


async def _populate(url: str, users: Mapping[UUID, int]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for user_id, rows in users.items():
            await connection.execute(ADD_ORDERS, user_id, rows, timeout=300)
            await connection.execute(ADD_ITEMS, user_id, timeout=300)
        await connection.execute("VACUUM ANALYZE orders", timeout=300)
        await connection.execute("VACUUM ANALYZE order_items", timeout=300)
    finally:
        await connection.close()


def _speed_tables(seconds: Mapping[str, Sequence[float]], rows: int) -> Iterator[str]:
    yield f"A report of {rows:,} orders, the oldest first, with what was bought:"
    lines = []
    for name, found in seconds.items():
        rate = spread([rows / one for one in found])
        ratio = ratios(seconds[PSQL], found)
        lines.append([name, rate.show(), ratio.show(2), "" if name == PSQL else TARGET])
    yield table(["way", "rows/s", f"of {PSQL}", "target"], lines)


def _memory_tables(peaks: Mapping[tuple[str, int, str], Sequence[float]], sizes: Sequence[int]) -> Iterator[str]:
    large, small = sizes
    yield "Peak memory (RSS) of the processes while they send it, MiB:"
    lines = []
    for name, way in dict.fromkeys((name, way) for name, _, way in peaks):
        of_large, of_small = peaks[name, large, way], peaks[name, small, way]
        more = Spread(tuple(a - b for a, b in zip(of_large, of_small, strict=True)))
        lines.append([name, way, spread(of_small).show(1), spread(of_large).show(1), more.show(1), MEMORY_TARGET])
    yield table(["process", "way", f"{small:,} rows", f"{large:,} rows", "more", "target"], lines)
