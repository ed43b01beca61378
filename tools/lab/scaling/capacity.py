"""The resources for a number of people: the measured costs times the assumed habits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from services.worker.settings import Settings as Worker
from shared.db.engine import DatabaseSettings
from tools.lab.bench.report import table
from tools.lab.scaling import habits
from tools.lab.scaling.figures import Measured
from tools.lab.scaling.habits import Peak

POOL = DatabaseSettings.model_fields["pool_size"].default
WORKER_POOL = Worker.model_fields["pool_size"].default
PIECES = ("gateway", "users", "orders", "worker", "postgres", "rabbitmq")


@dataclass(frozen=True)
class Need:
    """`cores` is the number of fully used cores at the peak. `replicas` is the number of processes that use one core
    each."""

    peak: Peak
    cores: dict[str, float]
    replicas: dict[str, int]
    connections: int
    stored: float
    """The number of bytes in Postgres."""

    @property
    def all_cores(self) -> float:
        return sum(self.cores.values()) / habits.UTILISATION


def need(people: int, measured: Measured, least: int = habits.LEAST) -> Need:
    peak = Peak(people)
    dashboards, orders = peak.dashboards / 1e6, peak.orders / 1e6
    cores = {
        "gateway": dashboards * measured.dashboard.gateway
        + orders * measured.order.gateway
        + peak.streams * measured.stream_us / 1e6,
        "users": dashboards * measured.dashboard.users,
        "orders": dashboards * measured.dashboard.orders + orders * measured.order.orders,
        "worker": dashboards * measured.dashboard.worker + orders * measured.order.worker,
        "postgres": dashboards * measured.dashboard.postgres + orders * measured.order.postgres,
        "rabbitmq": orders * measured.order.rabbitmq,
    }
    processes = ("gateway", "users", "orders", "worker")
    replicas = {name: max(least, ceil(cores[name] / habits.UTILISATION)) for name in processes}
    replicas["gateway"] = max(replicas["gateway"], ceil(peak.streams / habits.STREAMS))
    pools = {"users": 2 * POOL, "orders": 2 * POOL, "worker": 2 * WORKER_POOL}
    placed = people * habits.ORDERS * 365 * habits.KEPT_YEARS
    return Need(
        peak,
        cores,
        replicas,
        connections=sum(replicas[name] * pool for name, pool in pools.items()),
        stored=placed * measured.order.bytes + people * habits.REGISTERED * measured.user_bytes,
    )


ROWS: dict[str, Callable[[Need], str]] = {
    "dashboards/s": lambda one: f"{one.peak.dashboards:,.1f}",
    "orders/s": lambda one: f"{one.peak.orders:,.2f}",
    "events/s": lambda one: f"{one.peak.events:,.1f}",
    "pages open, each a stream": lambda one: f"{one.peak.streams:,.0f}",
    **{f"cores busy: {name}": lambda one, name=name: f"{one.cores[name]:,.3f}" for name in PIECES},  # type: ignore[misc]
    "cores to have": lambda one: f"{one.all_cores:,.1f}",
    "replicas: gateway, users, orders, worker": lambda one: ", ".join(map(str, one.replicas.values())),
    "connections that their pools may open": lambda one: f"{one.connections:,}",
    "in Postgres after three years": lambda one: _bytes(one.stored),
}


def capacity(measured: Measured) -> str:
    """Return one column for each number of people."""
    needs = [need(people, measured, 1 if people == habits.USERS[0] else habits.LEAST) for people in habits.USERS]
    return table(
        ["at the peak", *(f"{one.peak.people:,}" for one in needs)],
        [[name, *(show(one) for one in needs)] for name, show in ROWS.items()],
    )


def limits(measured: Measured) -> str:
    """Return the limit of one instance of each, and the corresponding number of people per day."""
    per_person = Peak(1)
    dashboard, order = measured.dashboard, measured.order
    rows: Sequence[tuple[str, str, float, float]] = [
        ("a gateway process", "dashboards", 1e6 / dashboard.gateway, per_person.dashboards),
        ("a gateway process", "open pages", 2.0 * habits.STREAMS, per_person.streams),
        ("Postgres, 16 cores, all three databases", "dashboards", 16e6 / dashboard.postgres, per_person.dashboards),
        ("a relay", "events", measured.relay_rate, per_person.events),
        ("a worker process", "orders with all their jobs", 1e6 / order.worker, per_person.orders),
        ("a worker process, analytics alone", "events", measured.event_rate, per_person.events),
        ("RabbitMQ, 4 cores", "orders with all their jobs", 4e6 / order.rabbitmq, per_person.orders),
    ]
    return table(
        ["one piece", "of", "at most, per second or at once", f"people per day, at {habits.UTILISATION:.0%} of that"],
        [[what, of, f"{most:,.0f}", f"{most * habits.UTILISATION / each:,.0f}"] for what, of, most, each in rows],
    )


def _bytes(size: float) -> str:
    return f"{size / 1e12:,.1f} TB" if size >= 1e12 else f"{size / 1e9:,.1f} GB"
