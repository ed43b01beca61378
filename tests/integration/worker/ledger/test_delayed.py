"""Delayed tasks."""

from datetime import timedelta

from services.worker.ledger.ledger import Outcome
from services.worker.ledger.sql import FIND_DUE
from services.worker.settings import Settings
from shared.clock import now
from tests.support.waiting import eventually
from tests.support.worker.ledgers import Recorder, batching, job_of, later, note, noting
from tests.support.worker.world import LONG_S


async def test_a_delayed_task_runs_when_it_is_due(database: Settings, recorder: Recorder) -> None:
    """It is stored, whatever its job's batches, and runs once at its time: the loop does not wait for its interval."""
    job = job_of(recorder, batching=batching(recorder))
    async with noting(database, job) as notes:
        message, far, plain = note(due=later(seconds=1)), note(due=later(hours=1)), note()
        await notes.ledger.run_many(job, recorder.many, [message, far, plain])
        assert await notes.state(far.event_id) == "scheduled"
        assert await notes.arrive(message) is Outcome.DUPLICATE
        assert recorder.ids[0] == plain.event_id
        assert far.event_id not in recorder.ids
        await notes.until(message.event_id, "done")
        assert recorder.ids.count(message.event_id) == 1
        [row] = await notes.fetch("SELECT * FROM job_attempts WHERE event_id = $1", message.event_id)
        due_at = message.envelope.due_at
        assert due_at is not None
        assert timedelta(0) <= row["started_at"] - due_at < timedelta(seconds=LONG_S)


async def test_a_delayed_task_survives_its_worker(database: Settings, recorder: Recorder) -> None:
    """Another worker finds it when it starts."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        message = note(due=later(seconds=0.2))
        await notes.arrive(message)
    async with noting(database, job_of(recorder)) as notes:
        await notes.until(message.event_id, "done")
    assert recorder.ids == [message.event_id]


async def test_a_long_attempt_delays_no_other_task(database: Settings, recorder: Recorder) -> None:
    """While one job's due task runs, that of another job starts."""
    other = Recorder()
    recorder.gate.clear()
    async with noting(database, job_of(recorder), job_of(other, "others")) as notes:
        slow, quick = note(due=now()), note(due=later(seconds=0.1))
        await notes.arrive(slow)
        await eventually(recorder.started.is_set, LONG_S)
        await notes.arrive(quick, notes.jobs[1])
        await notes.until(quick.event_id, "done", "others")
        assert await notes.state(slow.event_id) == "running"
        recorder.gate.set()
        await notes.until(slow.event_id, "done")


async def test_the_age_of_a_delayed_task_counts_from_its_time(database: Settings, recorder: Recorder) -> None:
    """A task that was added long ago and is due now runs; one that was due long ago may have been forgotten."""
    month = timedelta(days=30)
    async with noting(database, job_of(recorder)) as notes:
        old = note(time=now() - month, due=now())
        assert await notes.arrive(old) is Outcome.SCHEDULED
        await notes.until(old.event_id, "done")
        late = note(time=now() - 2 * month, due=now() - month)
        assert await notes.arrive(late) is Outcome.DEAD
        [row] = await notes.fetch("SELECT error_group FROM jobs WHERE event_id = $1", late.event_id)
        assert row["error_group"] == "unremembered"


async def test_many_delayed_tasks_cost_nothing_until_they_are_due(database: Settings, recorder: Recorder) -> None:
    """The search for due jobs reads no row of those that are not due."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        await notes.fetch("""
            INSERT INTO jobs (job, event_id, event_type, state, attempts, next_attempt_at)
            SELECT 'notes', gen_random_uuid(), '', 'scheduled', 0, now() + i * interval '1 minute'
            FROM generate_series(1, 20000) i
        """)
        await notes.fetch("ANALYZE jobs")
        plan = await notes.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) {FIND_DUE}", ["notes"])
        text = "\n".join(row[0] for row in plan)
        assert "jobs_next" in text
        assert "Seq Scan on jobs" not in text
