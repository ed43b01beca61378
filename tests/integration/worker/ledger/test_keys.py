"""Keys of tasks: of all that are committed before one of them starts, one runs."""

import asyncio
from collections import Counter

import pytest

from services.worker.ledger import keys
from services.worker.ledger.ledger import Outcome
from services.worker.settings import Settings
from shared.clock import now
from shared.contracts.tasks import Task
from tests.support.waiting import eventually
from tests.support.worker.ledgers import Notes, Recorder, job_of, later, note, noting
from tests.support.worker.world import LONG_S


class EraseNote(Task, frozen=True, kw_only=True):
    pass


async def states(notes: Notes) -> Counter[str]:
    return Counter(row["state"] for row in await notes.fetch("SELECT state FROM jobs"))


async def test_one_of_many_runs(database: Settings, recorder: Recorder) -> None:
    """Tasks that arrive at two workers at once: one runs, and the others are suppressed."""
    job = job_of(recorder)
    async with noting(database, job) as one, noting(database, job) as two:
        messages = [note(key="a") for _ in range(20)]
        await asyncio.gather(*((one, two)[number % 2].arrive(message) for number, message in enumerate(messages)))

        async def ended() -> bool:
            return await states(one) == {"done": 1, "suppressed": 19}

        await eventually(ended, LONG_S)
        assert len(recorder.ran) == 1
        for message in messages:
            assert await one.arrive(message) is Outcome.DUPLICATE


async def test_a_task_after_the_start_runs(database: Settings, recorder: Recorder) -> None:
    """A task that was added while another one runs is not lost; one that was added before is suppressed."""
    recorder.gate.clear()
    async with noting(database, job_of(recorder)) as notes:
        before = now()
        first = note(key="a")
        await notes.arrive(first)
        await eventually(recorder.started.is_set, LONG_S)
        late = note(key="a", seen=before)
        await notes.arrive(late)
        assert await notes.state(late.event_id) == "suppressed"
        second = note(key="a")
        await notes.arrive(second)
        recorder.gate.set()
        await notes.until(first.event_id, "done")
        await notes.until(second.event_id, "done")
        assert recorder.ids == [first.event_id, second.event_id]


async def test_the_earliest_runs(database: Settings, recorder: Recorder) -> None:
    """Of two delayed tasks the one that is due first runs, whichever arrives first."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        hour, minute, day = (
            note(key="a", due=later(hours=1)),
            note(key="a", due=later(minutes=1)),
            note(key="a", due=later(days=1)),
        )
        for message in (hour, minute, day):
            await notes.arrive(message)
        assert await notes.state(hour.event_id) == "suppressed"
        assert await notes.state(minute.event_id) == "scheduled"
        assert await notes.state(day.event_id) == "suppressed"
        [row] = await notes.fetch("SELECT payload FROM jobs WHERE event_id = $1", hour.event_id)
        assert row["payload"] is None


async def test_keys_of_others_are_independent(database: Settings, recorder: Recorder) -> None:
    """Another key, another type or no key suppresses nothing."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        messages = [
            note(key="a", due=later(hours=1)),
            note(key="b", due=later(hours=1)),
            note(key="a", due=later(hours=1), task=EraseNote()),
            note(due=later(hours=1)),
        ]
        for message in messages:
            await notes.arrive(message)
        assert await states(notes) == {"scheduled": 4}


async def test_a_start_is_visible_during_the_attempt(database: Settings, recorder: Recorder) -> None:
    """It is committed before the attempt: otherwise a task that arrives during it would wait, or be lost."""
    recorder.gate.clear()
    async with noting(database, job_of(recorder)) as notes:
        message = note(key="a")
        await notes.arrive(message)
        await eventually(recorder.started.is_set, LONG_S)
        [row] = await notes.fetch("SELECT state, started_at FROM jobs WHERE event_id = $1", message.event_id)
        assert row["state"] == "scheduled"
        assert row["started_at"] is not None
        recorder.gate.set()


@pytest.mark.parametrize("state", ["cancelled", "done", "dead"])
async def test_what_has_ended_suppresses_nothing(database: Settings, recorder: Recorder, state: str) -> None:
    """Only a task that waits or has started after the newcomer was seen does."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        ended, newcomer = note(key="a", due=later(hours=1)), note(key="a", due=later(hours=1))
        await notes.arrive(ended)
        await notes.fetch(
            "UPDATE jobs SET state = $2, started_at = now() - interval '1 hour' WHERE event_id = $1",
            ended.event_id,
            state,
        )
        await notes.arrive(newcomer)
        assert await notes.state(newcomer.event_id) == "scheduled"


async def test_a_start_waits_for_an_arrival(database: Settings, recorder: Recorder) -> None:
    """The key's lock lets one task arrive or start at a time."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        message = note(key="a", due=now())
        await notes.arrive(message)
        await notes.fetch("UPDATE jobs SET next_attempt_at = now()")
        async with notes.db.connection() as holder, holder.transaction():
            await keys.lock(holder, "notes", message.event_type, "a")
            starting = asyncio.create_task(notes.ledger.run_due(notes.job))

            async def waits() -> bool:
                return bool(await notes.fetch("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))

            await eventually(waits, LONG_S)
            await holder.execute("UPDATE jobs SET state = 'suppressed'")
        assert await starting is None
        assert recorder.ran == []
