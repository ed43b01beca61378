"""The cost of enqueueing a task with an order: in the order's transaction, or after its commit."""

from collections.abc import Sequence
from importlib.util import find_spec

import msgspec

from tools.lab.bench import queueing
from tools.lab.bench.bed import Bed, DidNotStart
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.consumers import environment
from tools.lab.bench.report import Report, spread, table

NAME = "enqueue"
ORDERS, FEW = 100, 20
ROUNDS = 20
WITHIN_S = 600
WITH_ASYNCPG, WITH_PSYCOPG = "no task, asyncpg", "no task, psycopg"
OURS, CELERY, PROCRASTINATE = "ours: `add_task`", "Celery: `delay`", "Procrastinate: `defer_async`"
PEERS = {CELERY: "celery", PROCRASTINATE: "procrastinate"}
IN_TRANSACTION = "in the transaction"
AFTER_COMMIT = "after the commit; lost if the process dies or the broker is down in between"
STORED = {OURS: IN_TRANSACTION, CELERY: AFTER_COMMIT, PROCRASTINATE: IN_TRANSACTION}
BASES = {OURS: WITH_ASYNCPG, CELERY: WITH_ASYNCPG, PROCRASTINATE: WITH_PSYCOPG}


class Costs(msgspec.Struct):
    """CPU µs per order, one value for each round."""

    python: list[float] = []
    postgres: list[float] = []


def run(bed: Bed, scale: Scale) -> Report:
    peers = [name for name in PEERS if scale.peers]
    present = [name for name in peers if find_spec(PEERS[name])]
    rounds, orders = (1, FEW) if scale.small else (ROUNDS, ORDERS)
    packages = ("sqlalchemy", "asyncpg", "psycopg", "celery", "procrastinate")
    conditions = Conditions(
        scale, versions(*packages), f"rounds here: {rounds}, of {orders} orders each way; fsync off"
    )
    with queueing.place(bed, "orders") as place:
        path = bed.folder / "enqueue.json"
        command = ("-m", "tools.lab.bench.peers.enqueueing", str(path), str(rounds), str(orders), *present)
        child = bed.python(NAME, *command, env=environment(place))
        if child.wait(WITHIN_S):
            raise DidNotStart(child.log.read_text()[-2000:])
    report = Report(NAME)
    report.add(conditions.tell(), _table(msgspec.json.decode(path.read_bytes(), type=dict[str, Costs])))
    report.add(*(f"Not measured: {name} (`uv sync --group bench`)." for name in peers if name not in present))
    return report


def _table(found: dict[str, Costs]) -> str:
    def row(name: str, costs: Costs) -> list[str]:
        base = found[BASES.get(name, name)]
        added = [_added(costs.python, base.python), _added(costs.postgres, base.postgres)] if base is not costs else []
        figures = [spread(costs.python).show(), spread(costs.postgres).show(), *(added or ["", ""])]
        return [name, *figures, STORED.get(name, "")]

    head = ["", "Python, µs", "Postgres, µs", "added Python, µs", "added Postgres, µs", "the task is stored"]
    return table(head, [row(name, costs) for name, costs in found.items()])


def _added(with_task: Sequence[float], without: Sequence[float]) -> str:
    return spread([more - less for more, less in zip(with_task, without, strict=True)]).show()
