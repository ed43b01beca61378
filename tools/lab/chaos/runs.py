"""Runs of tasks and ticks: each exactly once, as decision 0035 documents it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from tools.devstack.system.databases import fetch
from tools.lab.chaos.checks import Check
from tools.lab.chaos.journal import Journal
from tools.lab.chaos.record_run import SCHEDULE, RecordRun
from tools.lab.chaos.tasks import PRODUCERS

MINUTE = timedelta(minutes=1)

FIND_ADDED = "SELECT id, key, due_at, added_at FROM chaos_tasks"
FIND_RUNS = "SELECT event_id, tick, seen_at, began_at FROM chaos_runs"
FIND_STARTS = "SELECT event_id, started_at FROM jobs WHERE event_type = $1 AND started_at IS NOT NULL"
FIND_STORED = "SELECT event_id, created_at FROM jobs WHERE job = $1"
FIND_REQUESTED = "SELECT event_id FROM job_audit WHERE job = $1 AND action = 'run'"
FIND_RESUMED = "SELECT max(at) FROM job_audit WHERE job = $1 AND action = 'resume'"


@dataclass(frozen=True)
class Added:
    """A committed task. `added_at` is shortly before its commit."""

    id: UUID
    key: str | None
    due_at: datetime | None
    added_at: datetime


@dataclass(frozen=True)
class Run:
    """One effect, of a task or of a tick. `seen_at` is when the relay read a task with a key."""

    id: UUID
    tick: datetime | None
    seen_at: datetime | None
    began_at: datetime


@dataclass(frozen=True)
class Found:
    """The content of the databases."""

    added: Sequence[Added] = ()
    runs: Sequence[Run] = ()
    starts: Mapping[UUID, datetime] = field(default_factory=dict)
    """When tasks with a key started, from the ledger."""
    stored: Mapping[UUID, datetime] = field(default_factory=dict)
    """When ticks were stored in the ledger."""
    requested: Sequence[UUID] = ()
    """The runs of the schedule that the operator requested, from the audit log."""
    resumed_at: datetime | None = None

    @property
    def of_tasks(self) -> Counter[UUID]:
        return Counter(run.id for run in self.runs if run.tick is None)

    @property
    def of_requests(self) -> Counter[UUID]:
        return Counter(run.id for run in self.runs if run.id in self.requested)

    @property
    def of_ticks(self) -> dict[datetime, list[Run]]:
        """The schedule may have ticked before it was paused for the first time."""
        found = defaultdict(list)
        for run in self.runs:
            if run.tick is not None and run.id not in self.requested and not self._is_before(run.tick):
                found[run.tick].append(run)
        return found

    def _is_before(self, tick: datetime) -> bool:
        return self.resumed_at is None or tick <= self.resumed_at


def read(databases: Mapping[str, str]) -> Found:
    worker = databases["worker"]
    return Found(
        added=[Added(*row) for name in PRODUCERS for row in fetch(databases[name], FIND_ADDED)],
        runs=[Run(*row) for row in fetch(worker, FIND_RUNS)],
        starts={row[0]: row[1] for row in fetch(worker, FIND_STARTS, RecordRun.type)},
        stored={row[0]: row[1] for row in fetch(worker, FIND_STORED, SCHEDULE)},
        requested=[row[0] for row in fetch(worker, FIND_REQUESTED, SCHEDULE)],
        resumed_at=fetch(worker, FIND_RESUMED, SCHEDULE)[0][0],
    )


def checks(journal: Journal, found: Found) -> list[Check]:
    return [*_tasks(journal, found), *_keys(found), *_ticks(journal, found)]


def figures(journal: Journal, found: Found) -> dict[str, str]:
    keyed = sum(task.key is not None for task in found.added)
    return {
        "tasks committed / rolled back": f"{len(found.added)} / {len(journal.rolled_back)}",
        "tasks with a key, committed / run": f"{keyed} / {sum(run.seen_at is not None for run in found.runs)}",
        "ticks / requested runs of the schedule": f"{len(found.of_ticks)} / {len(found.requested)}",
        "delayed tasks: start after the due time, p50 / p95": _quantiles(lateness_s(found)),
    }


def lateness_s(found: Found) -> list[float]:
    """Return how long after it could start each delayed task without a key started, in ascending order."""
    began = {run.id: run.began_at for run in found.runs}
    return sorted(
        (began[task.id] - max(task.due_at, task.added_at)).total_seconds()
        for task in found.added
        if task.due_at and task.key is None and task.id in began
    )


def _tasks(journal: Journal, found: Found) -> Iterator[Check]:
    ran, added = found.of_tasks, {task.id: task for task in found.added}
    expected = {task.id for task in found.added if task.key is None} | (journal.tasks - added.keys())
    early = [run for run in found.runs if (due := _due_at(added.get(run.id))) and run.began_at < due]
    yield Check("tasks lost", sorted(expected - ran.keys()))
    yield Check("tasks run twice", _repeated(ran))
    yield Check("tasks run although they were rolled back", sorted(ran.keys() - added.keys()))
    yield Check("delayed tasks run too early", early)


def _keys(found: Found) -> Iterator[Check]:
    """A task may be suppressed only if another one with its key started after its commit. One that starts later than
    another may run only if its relay had not seen it before that start."""
    ran, seen = found.of_tasks, {run.id: run.seen_at for run in found.runs}
    by_key: dict[str, list[Added]] = defaultdict(list)
    for task in found.added:
        if task.key is not None:
            by_key[task.key].append(task)
    lost, again, late = [], [], []
    for tasks in by_key.values():
        started = [task for task in tasks if task.id in ran and task.id in found.starts]
        started.sort(key=lambda task: found.starts[task.id])
        last_start = found.starts[started[-1].id] if started else None
        lost += [task for task in tasks if task.id not in ran and (last_start is None or last_start <= task.added_at)]
        for first, task in pairwise(started):
            before, seen_at = found.starts[first.id], seen[task.id]
            if seen_at is None or seen_at < before:
                again.append(task)
            elif task.added_at < before:
                late.append(task)
    yield Check("tasks with a key lost", lost)
    yield Check("tasks with a key run again", again)
    yield Check("tasks with a key run again, as documented: seen after a start", late, fails=False)


def _ticks(journal: Journal, found: Found) -> Iterator[Check]:
    ticks, requested = found.of_ticks, found.of_requests
    lost, missed = _absent(journal, found)
    expected = set(_minutes(journal, found))
    optional = {journal.ticks_end} if journal.ticks_end else set()
    yield Check("ticks lost", lost)
    yield Check("ticks missed, as documented", missed, fails=False)
    yield Check("ticks run twice", [at for at, runs in ticks.items() if len(runs) > 1])
    yield Check("extra ticks", sorted(at for at in ticks if at not in expected | optional))
    yield Check("requested runs lost", sorted((journal.requested_runs | set(found.requested)) - requested.keys()))
    yield Check("requested runs repeated", _repeated(requested))


def _absent(journal: Journal, found: Found) -> tuple[list[datetime], list[datetime]]:
    """Return the ticks that are lost, and those that were missed: the ones that became due before an earlier tick was
    stored, which stands for them, or while it waited for its start."""
    lost, missed = [], []
    ticks, covered = found.of_ticks, None
    for at in _minutes(journal, found):
        if at in ticks:
            covered = max(max(run.began_at, found.stored.get(run.id, run.began_at)) for run in ticks[at])
        elif covered is not None and at <= covered:
            missed.append(at)
        else:
            lost.append(at)
    return lost, missed


def _minutes(journal: Journal, found: Found) -> Iterator[datetime]:
    """Yield the ticks that are expected."""
    if found.resumed_at is None or journal.ticks_end is None:
        return
    at = found.resumed_at.astimezone(UTC).replace(second=0, microsecond=0) + MINUTE
    while at < journal.ticks_end:
        yield at
        at += MINUTE


def _due_at(task: Added | None) -> datetime | None:
    return task.due_at if task else None


def _repeated(counts: Counter[UUID]) -> list[UUID]:
    return sorted(one for one, count in counts.items() if count > 1)


def _quantiles(ascending: Sequence[float]) -> str:
    if not ascending:
        return "-"
    p50, p95 = (ascending[int(share * (len(ascending) - 1))] for share in (0.5, 0.95))
    return f"{p50:.2f} / {p95:.2f} s"
