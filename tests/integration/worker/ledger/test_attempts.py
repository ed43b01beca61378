"""The log of attempts."""

import os
import socket
from dataclasses import replace
from datetime import timedelta

from services.worker.ledger import pruner
from services.worker.ledger.ledger import Outcome
from services.worker.recipients import job as recipients
from services.worker.settings import Settings
from shared.ids import new_id
from tests.support.worker.ledgers import Recorder, WriteNote, job_of, note, noting

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-00"


async def test_every_attempt_is_logged(database: Settings, recorder: Recorder) -> None:
    """With its worker, start, duration, outcome, error and trace, the first one too."""
    recorder.failures = 2
    async with noting(database, job_of(recorder)) as notes:
        message = note(traceparent=TRACEPARENT)
        assert await notes.arrive(message) is Outcome.RETRYING
        await notes.until(message.event_id, "done")
        log = (await notes.read(f"jobs/notes/{message.event_id}"))["attempt_log"]
        assert [(one["number"], one["outcome"], one["error"]) for one in log] == [
            (1, "retrying", "RuntimeError: broken on request"),
            (2, "retrying", "RuntimeError: broken on request"),
            (3, "done", None),
        ]
        assert {one["worker"] for one in log} == {f"{socket.gethostname()}:{os.getpid()}"}
        assert {one["trace_id"] for one in log} == {TRACE}
        assert all(one["duration_ms"] > 0 for one in log)
        assert sorted(one["started_at"] for one in log) == [one["started_at"] for one in log]


async def test_a_batch_logs_each_of_its_events(database: Settings, recorder: Recorder) -> None:
    """And no duplicate."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        messages = [note(traceparent=TRACEPARENT), note()]
        await notes.ledger.run_many(notes.job, recorder.many, messages)
        await notes.ledger.run_many(notes.job, recorder.many, [*messages, note()])
        rows = await notes.fetch("SELECT * FROM job_attempts ORDER BY event_id")
        assert [row["event_id"] for row in rows[:2]] == [message.event_id for message in messages]
        assert ([row["trace_id"] for row in rows], len(rows)) == ([TRACE, None, None], 3)


async def test_an_interrupted_attempt_is_shown(database: Settings, recorder: Recorder) -> None:
    """The log has a running attempt while it is leased, and an interrupted one when the lease is over."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        message = note()
        await notes.arrive(message)
        await notes.fetch("UPDATE job_attempts SET outcome = 'running', duration_ms = NULL")
        for lease_s, outcome in ((3600, "running"), (-1, "interrupted")):
            await notes.fetch(
                "UPDATE jobs SET state = 'retrying', leased_until = now() + $1 * interval '1 second'", lease_s
            )
            [one] = (await notes.read(f"jobs/notes/{message.event_id}"))["attempt_log"]
            assert (one["outcome"], one["duration_ms"]) == (outcome, None)


async def test_attempts_go_with_their_job(database: Settings, recorder: Recorder) -> None:
    """The purge deletes both; cancelled and suppressed jobs are purged like done ones."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        messages = [note() for _ in range(4)]
        for message in messages:
            await notes.arrive(message)
        for message, state in zip(messages, ("done", "cancelled", "suppressed", "dead"), strict=True):
            await notes.fetch(
                "UPDATE jobs SET state = $2, updated_at = now() - $3::interval WHERE event_id = $1",
                message.event_id,
                state,
                timedelta(days=30),
            )
        assert await pruner.purge_batch(notes.db, 3600) == 3
        [kept] = await notes.fetch("SELECT event_id FROM job_attempts")
        assert kept["event_id"] == messages[3].event_id


async def test_errors_are_erased_with_the_user(database: Settings, recorder: Recorder) -> None:
    """Also those of a job that was done in the end. A scheduled task of the user ends."""
    recorder.failures = 1
    user_id = new_id()
    job = job_of(recorder, "email")
    job = replace(job, policy=replace(job.policy, ends_with_user=True))
    async with noting(database, job) as notes:
        message = note(task=WriteNote(user_id=user_id))
        await notes.arrive(message)
        await notes.until(message.event_id, "done", "email")
        delayed = note(task=WriteNote(user_id=user_id), due=message.envelope.time + timedelta(days=1))
        await notes.arrive(delayed)
        async with notes.db.connection() as connection, connection.transaction():
            await recipients.erase(connection, user_id, 2)
        assert await notes.fetch("SELECT FROM job_attempts WHERE error IS NOT NULL OR user_id IS NOT NULL") == []
        assert await notes.state(delayed.event_id, "email") == "done"
        assert await notes.arrive(note(task=WriteNote(user_id=user_id), key="a")) is Outcome.DONE
        assert await notes.fetch("SELECT FROM jobs WHERE payload IS NOT NULL") == []
