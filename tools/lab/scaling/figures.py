"""The measured figures, read from the tables that `make bench` and `make scaling` write, and from nowhere else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PERFORMANCE = Path("docs/performance.md")
SCALING = Path("docs/scaling.md")
STREAMS = 1000
"""The number of streams for which the benchmark measures the total cost."""


def figure(page: Path, block: str, row: str | None, column: str) -> float:
    """Return the cell of the first table in the block that has both, without its range. The default row is the first.
    Raises `LookupError`."""
    for head, rows in _tables(page.read_text(), block):
        first = 0 if row is None else 1  # the first column is the name of the row
        if column in head[first:]:
            for cells in rows:
                if row is None or cells[0] == row:
                    return _number(cells[head.index(column, first)])
    raise LookupError(f"{page}: no {column!r} of {row!r} in the block {block!r}")


@dataclass(frozen=True)
class Dashboard:
    """CPU µs of an uncached dashboard, by process, with a million orders in the database."""

    gateway: float
    users: float
    orders: float
    worker: float
    postgres: float

    @property
    def all(self) -> float:
        return self.gateway + self.users + self.orders + self.worker + self.postgres


@dataclass(frozen=True)
class Order:
    """CPU µs of one order with its event, mail, notification and analytics, by process; and its stored bytes."""

    gateway: float
    orders: float
    worker: float
    postgres: float
    rabbitmq: float
    bytes: float

    @property
    def all(self) -> float:
        return self.gateway + self.orders + self.worker + self.postgres + self.rabbitmq


@dataclass(frozen=True)
class Measured:
    dashboard: Dashboard
    order: Order
    event_rate: float
    """Events per second of one worker."""
    relay_rate: float
    """Rows per second of one relay."""
    stream_us: float
    """CPU µs per second of an open stream without changes."""
    user_bytes: float


@cache
def measured() -> Measured:
    def system(column: str) -> float:
        return figure(PERFORMANCE, "system", "1,000,000", column)

    def order(column: str) -> float:
        return figure(SCALING, "order", "CPU µs", column)

    def kept(row: str) -> float:
        return figure(SCALING, "storage", row, "bytes")

    return Measured(
        Dashboard(*(system(name) for name in ("gateway", "users", "orders", "worker", "postgres"))),
        Order(
            order("gateway"), order("orders"), order("worker"), order("postgres"), order("rabbitmq"), kept("an order")
        ),
        event_rate=figure(PERFORMANCE, "worker", "ours", "events/s"),
        relay_rate=figure(PERFORMANCE, "relay", None, "rows/s"),
        stream_us=figure(PERFORMANCE, "streams", "0", "CPU, % of a core") / 100 / STREAMS * 1e6,
        user_bytes=kept("a user"),
    )


def _tables(page: str, block: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    found = re.search(rf"<!-- bench:{block} -->(.*?)<!-- /bench -->", page, re.DOTALL)
    for text in re.findall(r"(?:^\|.*\n?)+", found[1] if found else "", re.MULTILINE):
        head, _, *rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines())
        yield head, rows


def _number(cell: str) -> float:
    return float(cell.split(" ")[0].strip("*").replace(",", ""))
