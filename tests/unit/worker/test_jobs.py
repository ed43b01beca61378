"""The declaration of jobs, and what their functions receive."""

import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from services.worker import jobs
from services.worker.jobs import Batch, InvalidJob, PerEvent, bind, discover, job, open_resources, resource
from services.worker.ledger.job import Schedule
from services.worker.settings import Settings
from shared.clock import now
from shared.contracts.events import Envelope, Event, OrderPaid, OrderShipped
from shared.contracts.tasks import NOBODY, Task, Tick
from shared.db.engine import Connection
from shared.outbox import outbox
from shared.outbox.tasks import DurableTasks

SETTINGS = Settings(environment="development", database_url="", rabbitmq_url="")


class CountSheep(Task, frozen=True, kw_only=True):
    sheep: int = 1


class ShearSheep(Task, frozen=True, kw_only=True):
    sheep: int = 1


@dataclass(frozen=True)
class Farm:
    """A resource of the worker."""

    name: str


@dataclass(frozen=True)
class Ticket:
    """A resource of one event."""

    connection: Connection
    envelope: Envelope


class Statements:
    """A connection that keeps what it is asked to execute."""

    def __init__(self) -> None:
        self.executed: list[tuple[str, list[tuple[object, ...]]]] = []

    async def executemany(self, statement: str, rows: list[tuple[object, ...]]) -> None:
        self.executed.append((statement, rows))


@pytest.fixture(autouse=True)
def _no_other_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test declares its jobs among no others. Those of the worker are imported before, and stay known."""
    discover()
    monkeypatch.setattr(jobs, "JOBS", {})
    monkeypatch.setattr(jobs, "RESOURCES", {})


def envelope_of(event: Event) -> Envelope:
    return Envelope(id=uuid4(), time=now(), event=event)


def bound(function: Callable[..., Any], resources: dict[type, object] | None = None, **declared: Any) -> Any:
    job(**declared)(function)
    return bind(jobs.JOBS[declared.get("name", function.__name__)], resources or {}, SETTINGS)


# Injection


async def test_a_function_gets_what_its_parameters_are_annotated_with() -> None:
    """By type, in any order: the task, its envelope, the transaction's connection, and resources."""
    seen: list[object] = []

    async def count(farm: Farm, db: Connection, envelope: Envelope, task: CountSheep) -> None:
        seen.extend([farm, db, envelope, task])

    farm, connection, envelope = Farm("Hill"), cast("Connection", Statements()), envelope_of(CountSheep(sheep=3))
    await bound(count, {Farm: farm}, on=CountSheep).effect(connection, envelope)
    assert seen == [farm, connection, envelope, CountSheep(sheep=3)]


async def test_one_of_several_events_is_annotated_with_their_union_or_their_base() -> None:
    """A parameter must accept every event of the job."""
    seen: list[Event] = []

    async def either(event: CountSheep | ShearSheep) -> None:
        seen.append(event)

    async def base(event: Task) -> None:
        seen.append(event)

    for function in (either, base):
        for task in (CountSheep(), ShearSheep()):
            await bound(function, on=(CountSheep, ShearSheep)).effect(cast("Connection", None), envelope_of(task))
    assert seen == [CountSheep(), ShearSheep()] * 2


@pytest.mark.parametrize("whole", [True, False])
async def test_a_batch_is_a_sequence_of_events_or_envelopes(*, whole: bool) -> None:
    """A job with `batch` takes many at once, and single ones, after a failure, in a sequence as well."""
    seen: list[list[object]] = []

    async def fold_envelopes(events: Sequence[Envelope]) -> None:
        seen.append(list(events))

    async def fold_events(events: Sequence[CountSheep]) -> None:
        seen.append(list(events))

    given = [envelope_of(CountSheep(sheep=number)) for number in range(3)]
    made = bound(fold_envelopes if whole else fold_events, on=CountSheep, batch=Batch(size=3, wait_ms=20))
    await made.batching.effect(None, given)
    await made.effect(None, given[0])
    expected: list[Any] = given if whole else [one.event for one in given]
    assert seen == [expected, expected[:1]]
    assert (made.batching.size, made.batching.wait_s) == (3, 0.02)


async def test_tasks_of_a_job_are_inserted_in_its_transaction() -> None:
    """`DurableTasks` in a job writes on the connection of the job, after the function."""
    connection = Statements()

    async def count(task: CountSheep, tasks: DurableTasks) -> None:
        tasks.add_task(ShearSheep(sheep=task.sheep), key="one")
        assert connection.executed == []

    await bound(count, on=CountSheep).effect(cast("Connection", connection), envelope_of(CountSheep(sheep=5)))
    [(statement, [row])] = connection.executed
    assert statement == outbox.INSERT_TASK
    assert (row[2], row[-2], row[-1]) == ("task.shear_sheep", None, "one")
    assert json.loads(str(row[4])) == {"user_id": str(NOBODY), "sheep": 5}


async def test_a_function_that_fails_adds_no_tasks() -> None:
    """An exception of the function passes through, and nothing is written."""
    connection = Statements()

    async def count(_task: CountSheep, tasks: DurableTasks) -> None:
        tasks.add_task(ShearSheep())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await bound(count, on=CountSheep).effect(cast("Connection", connection), envelope_of(CountSheep()))
    assert connection.executed == []


async def test_a_schedule_runs_with_its_tick() -> None:
    """A job with `cron` takes the tick, has no queue, and keeps its schedule."""
    seen: list[Tick] = []

    async def weekly(tick: Tick) -> None:
        seen.append(tick)

    made = bound(weekly, cron="0 7 * * 1", timezone="Europe/Berlin", missed="skip")
    tick = Tick(schedule="weekly", at=now())
    await made.effect(None, envelope_of(tick))
    assert seen == [tick]
    assert made.queue is None
    assert made.schedule == Schedule(cron="0 7 * * 1", timezone="Europe/Berlin", missed="skip")


async def test_a_resource_of_one_event_is_made_for_each() -> None:
    """From the connection and the envelope of that run."""
    seen: list[Ticket] = []

    async def count(_task: CountSheep, ticket: Ticket) -> None:
        seen.append(ticket)

    made = bound(count, {Ticket: PerEvent(Ticket)}, on=CountSheep)
    runs = [(cast("Connection", Statements()), envelope_of(CountSheep())) for _ in range(2)]
    for run in runs:
        await made.effect(*run)
    assert seen == [Ticket(*run) for run in runs]


def test_an_event_has_one_job_with_a_resource_of_that_event() -> None:
    """Two mails of one event would be one: the second job that asks does not start."""
    per_event: dict[type, object] = {Ticket: PerEvent(Ticket)}

    async def first(_event: OrderPaid, ticket: Ticket) -> None: ...

    async def second(_event: OrderPaid | OrderShipped, ticket: Ticket) -> None: ...

    bound(first, per_event, on=OrderPaid)
    with pytest.raises(InvalidJob, match="the jobs first and second ask for the same resource of OrderPaid"):
        bound(second, per_event, on=(OrderPaid, OrderShipped))


def test_a_batch_has_no_resource_of_one_event() -> None:
    """A batch has many events."""

    async def fold(_events: Sequence[CountSheep], ticket: Ticket) -> None: ...

    with pytest.raises(InvalidJob, match="job fold: a batch has no resources of one event"):
        bound(fold, {Ticket: PerEvent(Ticket)}, on=CountSheep, batch=Batch(size=2, wait_ms=1))


async def unknown_type(_task: CountSheep, farm: Farm) -> None: ...
async def no_annotation(_task: CountSheep, farm) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
async def no_event(db: Connection) -> None: ...
async def other_event(task: ShearSheep) -> None: ...
async def part_of_a_batch(task: CountSheep) -> None: ...


@pytest.mark.parametrize(
    ("function", "more", "message"),
    [
        (unknown_type, {}, r"asks for farm: Farm, which cannot be injected. Possible are CountSheep, Envelope"),
        (no_annotation, {}, "asks for farm: NoneType|asks for farm: None"),
        (no_event, {}, "no_event has no parameter for CountSheep, Envelope"),
        (other_event, {}, "asks for task: ShearSheep"),
        (part_of_a_batch, {"batch": Batch(size=2, wait_ms=1)}, r"Possible are Sequence\[CountSheep\]"),
    ],
)
def test_what_cannot_be_injected_is_named(function: Callable[..., Any], more: dict[str, Any], message: str) -> None:
    """The job does not start, and the error names the parameter and what is possible."""
    with pytest.raises(InvalidJob, match=message):
        bound(function, on=CountSheep, **more)


# Declaration


async def works(_task: CountSheep) -> None: ...


def test_a_job_is_named_after_its_function() -> None:
    """Unless it has a name of its own. The decorator returns the function as it is."""
    assert job(on=CountSheep)(works) is works
    job(on=CountSheep, name="sheep-2")(works)
    assert set(jobs.JOBS) == {"works", "sheep-2"}


def test_a_policy_comes_from_the_arguments_and_the_settings() -> None:
    """`concurrency` is a number, or the name of a setting; a batch prefetches several batches."""
    assert bound(works, on=CountSheep, attempts=3, deadline_s=60, concurrency="smtp_connections").policy == (
        bound(works, on=CountSheep, attempts=3, deadline_s=60, concurrency=SETTINGS.smtp_connections).policy
    )
    job(on=CountSheep, batch=Batch(size=200, wait_ms=20))(works)
    assert jobs.JOBS["works"].policy.prefetch == 600


@pytest.mark.parametrize(
    ("rate", "per_s"), [("50/s", 50), ("30/min", 0.5), ("1.5/s", 1.5), ("9/h", 9 / 3600), (None, None)]
)
def test_a_rate_is_read(rate: str | None, per_s: float | None) -> None:
    """Per second, minute or hour."""
    assert bound(works, on=CountSheep, rate=rate).rate_per_s == per_s


def sync(_task: CountSheep) -> None: ...


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (sync, {"on": CountSheep}, "job sync: sync is not an async function"),
        (works, {}, "job works: give either on, or cron"),
        (works, {"on": CountSheep, "cron": "0 7 * * 1"}, "job works: give either on, or cron"),
        (works, {"on": (CountSheep, str)}, "<class 'str'> is neither an event nor a task"),
        (works, {"on": Task}, "Task'> is neither an event nor a task"),
        (works, {"cron": "61 * * * *"}, "job works: '61 \\* \\* \\* \\*' is not a cron line"),
        (works, {"cron": "0 7 30 2 *"}, "job works: '0 7 30 2 \\*'"),
        (works, {"cron": "0 7 * *"}, "is not a cron line"),
        (works, {"cron": "0 7 * * 1", "timezone": "Europe/Nowhere"}, "'Europe/Nowhere' is not a time zone"),
        (works, {"cron": "0 7 * * 1", "timezone": "../etc/passwd"}, "is not a time zone"),
        (works, {"cron": "0 7 * * 1", "timezone": "Europe"}, "'Europe' is not a time zone"),
        (works, {"cron": "0 7 * * 1", "missed": "all"}, "missed is skip or once, not 'all'"),
        (works, {"on": CountSheep, "rate": "50"}, "'50' is not a rate such as 50/s"),
        (works, {"on": CountSheep, "rate": "0/s"}, "'0/s' is not a rate"),
        (works, {"on": CountSheep, "rate": "-1/s"}, "'-1/s' is not a rate"),
        (works, {"on": CountSheep, "rate": "5/day"}, "'5/day' is not a rate"),
        (works, {"on": CountSheep, "rate": "5/s", "batch": Batch(size=2, wait_ms=1)}, "cannot have batches"),
        (works, {"cron": "0 7 * * 1", "batch": Batch(size=2, wait_ms=1)}, "cannot have batches"),
        (works, {"on": CountSheep, "batch": Batch(size=0, wait_ms=1)}, "batch needs a size of at least 1"),
        (works, {"on": CountSheep, "batch": Batch(size=2, wait_ms=-1)}, "no negative wait"),
        *(
            (works, {"on": CountSheep, "name": name}, "a name has up to 32 lower-case")
            for name in ("Sheep", "1", "a" * 33, "a.b", "a\n")
        ),
    ],
)
def test_a_mistake_in_a_declaration_is_named(function: Any, arguments: dict[str, Any], message: str) -> None:
    """The module cannot be imported; nothing is registered."""
    with pytest.raises(InvalidJob, match=message):
        job(**arguments)(function)
    assert jobs.JOBS == {}


def test_two_jobs_have_two_names() -> None:
    """The same function may be declared again, as when its module is reloaded; another one may not take its name."""

    async def other(_task: CountSheep) -> None: ...

    job(on=CountSheep)(works)
    job(on=CountSheep)(works)
    with pytest.raises(InvalidJob, match=r"two jobs have the name works: .*works and .*other"):
        job(on=ShearSheep, name="works")(other)


# Discovery


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which modules can be imported, and that are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def module_with_job(folder: Path, name: str, task: str = "CountSheep") -> None:
    (folder / f"{name}.py").write_text(
        f"from services.worker.jobs import job\n"
        f"from {CountSheep.__module__} import {task}\n\n\n"
        f"@job(on={task})\n"
        f"async def {name}(task: {task}) -> None: ...\n"
    )


def test_the_jobs_of_other_modules_are_found(package: Path) -> None:
    """`WORKER_JOBS` names them; the result is sorted by name."""
    module_with_job(package, "flock")
    module_with_job(package, "barn", "ShearSheep")
    found = discover(["flock", "barn"])
    assert {"barn", "flock"} <= set(found)
    assert list(found) == sorted(found)
    assert found["flock"].types == ("task.count_sheep",)


@pytest.mark.parametrize("name", ["no_such_module", "no_such.module"])
def test_a_module_that_is_missing_is_named(name: str) -> None:
    """The worker does not start, and says which setting is wrong."""
    with pytest.raises(InvalidJob, match=f"WORKER_JOBS names {name}, which cannot be imported"):
        discover([name])


def test_a_task_has_one_job(package: Path) -> None:
    """A task is a command: two jobs that take the same do not start."""
    module_with_job(package, "flock")
    module_with_job(package, "barn")
    with pytest.raises(InvalidJob, match="two jobs take the task CountSheep: flock and barn"):
        discover(["flock", "barn"])


# Resources of other applications


async def test_a_resource_is_open_while_the_worker_runs() -> None:
    """It is opened when the worker starts, injected by its type, and closed at the end."""
    log: list[str] = []

    @resource
    async def farm() -> AsyncIterator[Farm]:
        log.append("open")
        yield Farm("Hill")
        log.append("closed")

    async def count(_task: CountSheep, place: Farm) -> None:
        log.append(place.name)

    assert log == []
    async with AsyncExitStack() as until:
        made = bound(count, await open_resources(until), on=CountSheep)
        await made.effect(None, envelope_of(CountSheep()))
    assert log == ["open", "Hill", "closed"]


async def returns_farm() -> Farm:
    return Farm("Hill")


async def says_nothing():  # type: ignore[no-untyped-def]  # noqa: ANN201
    yield Farm("Hill")


@pytest.mark.parametrize("function", [returns_farm, says_nothing])
def test_a_resource_says_its_type(function: Any) -> None:
    """It is an async generator, annotated with what it yields."""
    with pytest.raises(InvalidJob, match="is not an async generator, annotated with AsyncIterator"):
        resource(function)
