"""Jobs that end because they must not be done."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import pytest

from services.worker.ledger.job import Batching, ExternalEffect, Job, Suppressed
from services.worker.ledger.ledger import Outcome
from services.worker.settings import Settings
from shared.contracts.events import Envelope
from shared.db.engine import Connection, Database
from shared.ids import new_id
from tests.support.worker.ledgers import Notes, Recorder, WriteNote, job_of, note, noting
from tests.support.worker.operators import acting

REMEMBER = "INSERT INTO notification_settings (user_id, kind, mail) VALUES ($1, 'other', false)"
"""A row that a job writes."""
REASON = "nobody reads notes"


class NotWanted(Suppressed):
    pass


@dataclass
class External:
    """An effect outside the database that must not be done, as only its work finds out."""

    lease_s: float = 600

    async def run(self, _: Database) -> None:
        raise NotWanted(REASON)

    async def settle(self, connection: Connection, failure: Exception | None) -> None:
        assert isinstance(failure, NotWanted)
        await connection.execute(REMEMBER, new_id())


async def refuse(connection: Connection, envelope: Envelope) -> ExternalEffect | None:
    await connection.execute(REMEMBER, envelope.id)
    raise NotWanted(REASON)


async def leave(_connection: Connection, _envelope: Envelope) -> ExternalEffect | None:
    return External()


def refusing(recorder: Recorder) -> Job:
    return job_of(recorder, effect=refuse)


async def ended(notes: Notes, attempts: int, *earlier: str) -> None:
    """The only job has ended, with its reason for operators and without its message; what it wrote is there."""
    [row] = await notes.fetch("SELECT * FROM jobs")
    assert (row["state"], row["attempts"], row["last_error"], row["error_group"]) == (
        "suppressed",
        attempts,
        REASON,
        None,
    )
    assert (row["payload"], row["headers"], row["next_attempt_at"], row["leased_until"]) == (None, None, None, None)
    detail = await notes.read(f"jobs/notes/{row['event_id']}")
    assert (detail["state"], detail["error"]) == ("suppressed", REASON)
    outcomes = [(each["outcome"], each["error"]) for each in detail["attempt_log"]]
    assert [outcome for outcome, _ in outcomes] == [*earlier, "suppressed"]
    assert outcomes[-1] == ("suppressed", REASON)
    listed = await notes.read("jobs", state="suppressed", q="nobody reads")
    assert [each["event_id"] for each in listed["items"]] == [str(row["event_id"])]
    assert len(await notes.fetch("SELECT FROM notification_settings")) == 1


async def test_a_job_that_must_not_be_done(database: Settings, recorder: Recorder) -> None:
    """It ends at the first attempt, is no failure, and a duplicate changes nothing."""
    async with noting(database, refusing(recorder)) as notes:
        message = note()
        assert await notes.arrive(message) is Outcome.SUPPRESSED
        assert await notes.arrive(message) is Outcome.DUPLICATE
        await ended(notes, 1)
        assert (await notes.read("jobs/groups"))["items"] == []


async def test_a_later_attempt(database: Settings, recorder: Recorder) -> None:
    """What was wanted at first may not be wanted any more when it is tried again."""
    attempts: list[Envelope] = []

    async def effect(connection: Connection, envelope: Envelope) -> ExternalEffect | None:
        attempts.append(envelope)
        if len(attempts) == 1:
            raise RuntimeError("broken at first")
        return await refuse(connection, envelope)

    async with noting(database, job_of(recorder, effect=effect)) as notes:
        message = note()
        assert await notes.arrive(message) is Outcome.RETRYING
        await notes.until(message.event_id, "suppressed")
        await ended(notes, 2, "retrying")


async def test_work_outside_the_database(database: Settings, recorder: Recorder) -> None:
    """It may find out, too; it is settled all the same."""
    async with noting(database, job_of(recorder, effect=leave)) as notes:
        assert await notes.arrive(note()) is Outcome.SUPPRESSED
        await ended(notes, 1)


async def test_a_task_with_a_key(database: Settings, recorder: Recorder) -> None:
    """It is stored before it runs."""
    async with noting(database, refusing(recorder)) as notes:
        message = note(key="one")
        assert await notes.arrive(message) is Outcome.SCHEDULED
        await notes.until(message.event_id, "suppressed")
        await ended(notes, 1)


async def test_one_of_a_batch(database: Settings, recorder: Recorder) -> None:
    """The batch leaves nothing, so that its events are processed one by one: one ends, the others are done."""
    unwanted, other = note(), note()

    async def many(connection: Connection, envelopes: Sequence[Envelope]) -> None:
        await recorder.many(connection, envelopes)
        for envelope in envelopes:
            if envelope.id == unwanted.event_id:
                await refuse(connection, envelope)

    batching = Batching(effect=many, size=10, wait_s=0)
    job = job_of(recorder, effect=batching.on_one, batching=batching)
    async with noting(database, job, looping=False) as notes:
        with pytest.raises(NotWanted):
            await notes.ledger.run_many(notes.job, many, [unwanted, other])
        assert await notes.fetch("SELECT FROM jobs") == []
        assert await notes.fetch("SELECT FROM notification_settings") == []
        assert await notes.arrive(unwanted) is Outcome.SUPPRESSED
        assert await notes.arrive(other) is Outcome.DONE


@pytest.mark.parametrize("action", ["retry", "cancel"])
async def test_nothing_is_left_to_run(database: Settings, recorder: Recorder, action: str) -> None:
    """Its message is gone: an operator can neither retry nor cancel it."""
    async with noting(database, refusing(recorder), looping=False) as notes:
        message = note(task=WriteNote(user_id=uuid4()))
        await notes.arrive(message)
        answer = await notes.http.post(f"/v1/admin/jobs/notes/{message.event_id}/{action}", headers=acting())
        assert (answer.status_code, answer.json()["code"]) == (409, "job_finished")
        await ended(notes, 1)
