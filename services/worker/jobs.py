"""Jobs, declared by a decorator: what a job runs for, and how.

    @job(on=SendReceipt, attempts=10)
    async def send_receipt(task: SendReceipt, db: Connection, mails: Mails) -> Sending | None: ...

    @job(on=(OrderPaid, OrderCancelled), batch=Batch(size=200, wait_ms=20))
    async def fold(events: Sequence[Envelope], db: Connection) -> None: ...

    @job(cron="0 7 * * 1", timezone="Europe/Berlin")
    async def weekly_digest(tick: Tick, db: Connection, tasks: DurableTasks) -> None: ...

A job is a module `services.worker.<folder>.job`, or one that the setting `WORKER_JOBS` names. Its queue, bindings,
metrics, scaling and documentation follow from the decorator.

Parameters are injected by their type: the event, its `Envelope` (for a job with `batch`, a sequence of either), the
`Connection` whose transaction records the job as done, `DurableTasks` in the same transaction, and resources of the
worker, such as `Mails`. Another application declares its own with `resource`. A job that asks for anything else does
not start. One that adds very many tasks takes `ConnectionTasks` instead, and flushes them in between.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import isasyncgenfunction, iscoroutinefunction, signature
from pkgutil import iter_modules
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from services.worker.ledger.admin.schemas import JOB_NAME
from services.worker.ledger.job import Batching, Decision, Effect, ExternalEffect, Job, Missed, Policy, Schedule
from services.worker.ledger.timetable import InvalidSchedule, Timetable
from shared.contracts.events import Envelope, Event
from shared.contracts.tasks import Task, Tick
from shared.contracts.topology import DEAD_QUEUE
from shared.db.engine import Connection
from shared.outbox.tasks import ConnectionTasks, DurableTasks

JOBS: "dict[str, Declared]" = {}
"""All declared jobs, by name."""
RESOURCES: "dict[type, Callable[[], AbstractAsyncContextManager[object]]]" = {}
"""How resources that modules with jobs declare are opened, by their type."""
PACKAGE = "services.worker"
DEFAULT_PREFETCH = 20
BATCHES_AHEAD = 3
"""Prefetch of a job with batches, in batches."""
_PER_SECOND = re.compile(r"(\d+(?:\.\d+)?)/(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}

Function = Callable[..., Awaitable[ExternalEffect | None]]
T = TypeVar("T")


class InvalidJob(TypeError):
    """A job cannot be declared, or cannot be started, as it is written."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch starts when it has `size` events, or `wait_ms` milliseconds after the first."""

    size: int
    wait_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A job as its decorator declares it."""

    name: str
    function: Function
    kinds: tuple[type[Event], ...]
    policy: Policy
    concurrency: int | str
    """A number, or the name of the setting that has it."""
    schedule: Schedule | None
    batch: Batch | None
    rate_per_s: float | None
    panels: tuple[str, ...]

    @property
    def types(self) -> tuple[str, ...]:
        """The types of the events and tasks for which it runs: the bindings of its queue."""
        return tuple(kind.type for kind in self.kinds)

    @property
    def inputs(self) -> tuple[type[Event], ...]:
        """What its function takes."""
        return self.kinds or (Tick,)

    def bound_policy(self, settings: object) -> Policy:
        """Return the policy with the concurrency that the settings say."""
        if isinstance(self.concurrency, int):
            return self.policy
        return replace(self.policy, concurrency=getattr(settings, self.concurrency))


def job(
    *,
    on: type[Event] | Sequence[type[Event]] = (),
    cron: str | None = None,
    timezone: str = "UTC",
    missed: Missed = "once",
    name: str | None = None,
    attempts: int = 12,
    backoff_base_s: float = 1,
    backoff_cap_s: float = 600,
    prefetch: int | None = None,
    concurrency: int | str = 2,
    deadline_s: float | None = None,
    ends_with_user: bool = False,
    batch: Batch | None = None,
    rate: str | None = None,
    panels: Sequence[str] = (),
) -> Callable[[Function], Function]:
    """Declare a job. It runs once for each event or task in `on`, or once at each time of `cron` in `timezone`.

    `name` is the function's unless given. `concurrency` is the number of runs at once in one process, or the setting
    that has it. `rate` limits the starts in all workers together: `50/s`, `10/min`. The other arguments are those of
    `Policy`, `Schedule` and `Job`. Raises `InvalidJob`.
    """

    def declare(function: Function) -> Function:
        given = name or function.__name__
        kinds = (on,) if isinstance(on, type) else tuple(on)
        ahead = BATCHES_AHEAD * batch.size if batch else DEFAULT_PREFETCH
        _register(
            Declared(
                name=given,
                function=function,
                kinds=kinds,
                policy=Policy(
                    attempts=attempts,
                    backoff_base_s=backoff_base_s,
                    backoff_cap_s=backoff_cap_s,
                    prefetch=prefetch or ahead,
                    concurrency=concurrency if isinstance(concurrency, int) else 1,
                    deadline_s=deadline_s,
                    ends_with_user=ends_with_user,
                ),
                concurrency=concurrency,
                schedule=Schedule(cron=cron, timezone=timezone, missed=missed) if cron else None,
                batch=batch,
                rate_per_s=_rate_per_s(given, rate),
                panels=tuple(panels),
            )
        )
        return function

    return declare


def resource(open_: Callable[[], AsyncIterator[T]]) -> Callable[[], AbstractAsyncContextManager[T]]:
    """Declare a resource of jobs: what this async generator yields, whose type it is annotated with.

    The worker opens it when it starts, and closes it when its jobs have ended. Raises `InvalidJob`.

        @resource
        async def shop() -> AsyncIterator[Shop]:
            async with Shop.open() as shop:
                yield shop
    """
    yielded = get_args(get_type_hints(open_).get("return"))
    if not (isasyncgenfunction(open_) and yielded and isinstance(yielded[0], type)):
        raise InvalidJob(f"resource {open_.__qualname__} is not an async generator, annotated with AsyncIterator[…]")
    opened = asynccontextmanager(open_)
    RESOURCES[yielded[0]] = opened
    return opened


async def open_resources(until: AsyncExitStack) -> dict[type, object]:
    """Open what modules with jobs have declared with `resource`, until the stack is left."""
    return {kind: await until.enter_async_context(opened()) for kind, opened in RESOURCES.items()}


@dataclass(frozen=True, slots=True)
class PerEvent:
    """A resource that is made for each event and belongs to it: of the jobs that run for an event, one may have it."""

    make: Callable[[Connection, Envelope], object]
    jobs: dict[type[Event], str] = field(default_factory=dict)

    def give_to(self, declared: Declared) -> None:
        """Raises `InvalidJob`."""
        if declared.batch:
            raise InvalidJob(f"job {declared.name}: a batch has no resources of one event")
        for kind in declared.inputs:
            if kind is not Tick and self.jobs.setdefault(kind, declared.name) != declared.name:
                raise InvalidJob(
                    f"the jobs {self.jobs[kind]} and {declared.name} ask for the same resource of {kind.__name__}; "
                    "let one of them add a task that has it"
                )


def discover(modules: Iterable[str] = ()) -> dict[str, Declared]:
    """Import the jobs of the worker, and those in `modules`. Raises `InvalidJob`, also if a module does not exist."""
    folders = (each.name for each in iter_modules(import_module(PACKAGE).__path__) if each.ispkg)
    own = (f"{PACKAGE}.{name}" for name in folders)
    for package in own:
        if any(each.name == "job" for each in iter_modules(import_module(package).__path__)):
            import_module(f"{package}.job")
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as missing:
            raise InvalidJob(f"WORKER_JOBS names {module}, which cannot be imported: {missing}") from missing
    _check_receivers()
    return dict(sorted(JOBS.items()))


def bind(declared: Declared, resources: Mapping[type, object], settings: object) -> Job:
    """Return the job with its resources injected. Raises `InvalidJob`, and names what cannot be injected."""
    call = _Call.plan(declared, resources)
    batching = None
    if declared.batch:
        batching = Batching(effect=call.on_many, size=declared.batch.size, wait_s=declared.batch.wait_ms / 1000)
    effect: Effect = batching.on_one if batching else call.on_one
    return Job(
        name=declared.name,
        policy=declared.bound_policy(settings),
        effect=effect,
        types=declared.types,
        schedule=declared.schedule,
        rate_per_s=declared.rate_per_s,
        panels=declared.panels,
        batching=batching,
    )


@dataclass(frozen=True, slots=True)
class _Call:
    """How to call a job's function: the names of its parameters, by what they take."""

    function: Function
    events: Sequence[str]
    envelopes: Sequence[str]
    connections: Sequence[str]
    tasks: Sequence[str]
    per_event: Mapping[str, PerEvent]
    resources: Mapping[str, object]

    @classmethod
    def plan(cls, declared: Declared, resources: Mapping[type, object]) -> "_Call":
        function = declared.function
        call = cls(function, events := [], envelopes := [], connections := [], tasks := [], made := {}, found := {})
        hints = get_type_hints(function)
        for parameter in signature(function).parameters:
            kind = hints.get(parameter)
            given = resources.get(kind) if isinstance(kind, type) else None
            if _is_envelope(declared, kind):
                envelopes.append(parameter)
            elif _takes_events(declared, kind):
                events.append(parameter)
            elif kind is Connection:
                connections.append(parameter)
            elif kind in (DurableTasks, ConnectionTasks):
                tasks.append(parameter)
            elif isinstance(given, PerEvent):
                given.give_to(declared)
                made[parameter] = given
            elif given is not None:
                found[parameter] = given
            else:
                known = ", ".join(sorted(each.__name__ for each in resources))
                raise InvalidJob(
                    f"job {declared.name}: {function.__qualname__} asks for {parameter}: {_named(kind)}, which cannot "
                    f"be injected. Possible are {_wanted(declared)}, Connection, DurableTasks, {known}"
                )
        if not events and not envelopes:
            raise InvalidJob(f"job {declared.name}: {function.__qualname__} has no parameter for {_wanted(declared)}")
        return call

    async def on_one(self, connection: Connection, envelope: Envelope) -> ExternalEffect | None:
        made = {name: each.make(connection, envelope) for name, each in self.per_event.items()}
        return await self._run(connection, envelope.event, envelope, made)

    async def on_many(self, connection: Connection, envelopes: Sequence[Envelope]) -> None:
        await self._run(connection, [envelope.event for envelope in envelopes], envelopes, {})

    async def _run(
        self, connection: Connection, events: object, envelopes: object, made: Mapping[str, object]
    ) -> ExternalEffect | None:
        arguments = {**self.resources, **made}
        arguments |= dict.fromkeys(self.events, events)
        arguments |= dict.fromkeys(self.envelopes, envelopes)
        arguments |= dict.fromkeys(self.connections, connection)
        if not self.tasks:
            return await self.function(**arguments)
        tasks = ConnectionTasks()
        try:
            effect = await self.function(**arguments, **dict.fromkeys(self.tasks, tasks))
        except Decision:
            await tasks.flush(connection)
            raise
        await tasks.flush(connection)
        return effect


def _is_envelope(declared: Declared, kind: Any) -> bool:
    return bool(kind == (Sequence[Envelope] if declared.batch else Envelope))


def _takes_events(declared: Declared, kind: Any) -> bool:
    """Return whether a parameter of this type takes every event of the job."""
    if declared.batch:
        if get_origin(kind) is not Sequence:
            return False
        [kind] = get_args(kind)
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if not all(isinstance(each, type) and issubclass(each, Event) for each in kinds):
        return False
    return all(issubclass(each, kinds) for each in declared.inputs)


def _wanted(declared: Declared) -> str:
    kinds = " | ".join(kind.__name__ for kind in declared.inputs)
    return f"Sequence[{kinds}], Sequence[Envelope]" if declared.batch else f"{kinds}, Envelope"


def _named(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _register(declared: Declared) -> None:
    name, function = declared.name, declared.function
    _check_name(name)
    if not iscoroutinefunction(function):
        raise InvalidJob(f"job {name}: {function.__qualname__} is not an async function")
    if bool(declared.kinds) == bool(declared.schedule):
        raise InvalidJob(f"job {name}: give either on, or cron")
    for kind in declared.kinds:
        if not (isinstance(kind, type) and issubclass(kind, Event) and hasattr(kind, "type")):
            raise InvalidJob(f"job {name}: {kind!r} is neither an event nor a task")
    if declared.schedule:
        _check_schedule(name, declared.schedule)
    if declared.batch and (declared.schedule or declared.rate_per_s):
        raise InvalidJob(f"job {name}: a job with cron or rate cannot have batches")
    if declared.batch and (declared.batch.size < 1 or declared.batch.wait_ms < 0):
        raise InvalidJob(f"job {name}: batch needs a size of at least 1 and no negative wait")
    other = JOBS.get(name)
    if other and _place(other) != _place(declared):
        raise InvalidJob(f"two jobs have the name {name}: {_place(other)} and {_place(declared)}")
    JOBS[name] = declared


def _check_name(name: str) -> None:
    if not re.fullmatch(JOB_NAME, name):
        raise InvalidJob(
            f"job {name!r}: a name has up to 32 lower-case letters, digits, _ and -, and begins with a letter"
        )
    if f"worker.{name}" == DEAD_QUEUE:
        raise InvalidJob(f"job {name}: {DEAD_QUEUE} is the queue of dead letters")


def _check_schedule(name: str, schedule: Schedule) -> None:
    if schedule.missed not in get_args(Missed):
        raise InvalidJob(f"job {name}: missed is {' or '.join(get_args(Missed))}, not {schedule.missed!r}")
    try:
        Timetable(schedule.cron, schedule.timezone)
    except InvalidSchedule as invalid:
        raise InvalidJob(f"job {name}: {invalid}") from invalid


def _check_receivers() -> None:
    """A task is a command to one job. Raises `InvalidJob` if two jobs take the same."""
    receivers: dict[type[Event], str] = {}
    for declared in JOBS.values():
        for kind in declared.kinds:
            if issubclass(kind, Task) and receivers.setdefault(kind, declared.name) != declared.name:
                raise InvalidJob(f"two jobs take the task {kind.__name__}: {receivers[kind]} and {declared.name}")


def _place(declared: Declared) -> str:
    return f"{declared.function.__module__}.{declared.function.__qualname__}"


def _rate_per_s(name: str, rate: str | None) -> float | None:
    if rate is None:
        return None
    match = _PER_SECOND.fullmatch(rate)
    if match is None or float(match[1]) == 0:
        raise InvalidJob(f"job {name}: {rate!r} is not a rate such as 50/s, 10/min or 5/h")
    return float(match[1]) / _SECONDS[match[2]]
