"""Jobs that decide not to take effect: suppressed, or postponed."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from services.worker.ledger.external_effects import RepeatableWork
from services.worker.ledger.job import Decision, Postponed, Suppressed
from services.worker.ledger.ledger import Outcome
from services.worker.settings import Settings
from shared.clock import now
from shared.contracts.events import Envelope
from shared.db.engine import Connection
from tests.support.worker.ledgers import Recorder, job_of, later, note, noting

WRITE = "INSERT INTO job_rates (job, next_start) VALUES ('written', now())"
WRITTEN = "SELECT count(*) FROM job_rates WHERE job = 'written'"


def deciding(decide: Callable[[Envelope], Decision | None]) -> Callable[[Connection, Envelope], Awaitable[None]]:
    """Return an effect that writes, and then decides."""

    async def effect(connection: Connection, envelope: Envelope) -> None:
        if decision := decide(envelope):
            await connection.execute(WRITE)
            raise decision

    return effect


async def test_a_suppressed_job_shows_its_reason(database: Settings, recorder: Recorder) -> None:
    """It has one attempt, no message is kept, and it cannot be retried. What it wrote stays."""
    job = job_of(recorder, effect=deciding(lambda _: Suppressed("the address is not verified")))
    async with noting(database, job) as notes:
        message = note()
        assert await notes.arrive(message) is Outcome.SUPPRESSED
        shown = await notes.read(f"jobs/notes/{message.event_id}")
        assert (shown["state"], shown["error"]) == ("suppressed", "the address is not verified")
        assert (shown["attempts"], shown["payload"], shown["error_group"]) == (1, None, None)
        assert [attempt["outcome"] for attempt in shown["attempt_log"]] == ["suppressed"]
        assert [row["event_id"] for row in (await notes.read("jobs", state="suppressed"))["items"]] == [
            str(message.event_id)
        ]
        assert (await notes.post(f"jobs/notes/{message.event_id}/retry")).json()["code"] == "job_finished"
        assert await notes.arrive(message) is Outcome.DUPLICATE
        assert (await notes.fetch(WRITTEN))[0][0] == 1


async def test_a_job_is_suppressed_by_what_it_learns_outside(database: Settings, recorder: Recorder) -> None:
    """In its external effect."""

    async def refuse() -> None:
        raise Suppressed("it is not wanted")

    async def effect(_: Connection, __: Envelope) -> Any:
        return RepeatableWork(refuse)

    async with noting(database, job_of(recorder, effect=effect)) as notes:
        message = note()
        assert await notes.arrive(message) is Outcome.SUPPRESSED
        shown = await notes.read(f"jobs/notes/{message.event_id}")
        assert (shown["state"], shown["error"]) == ("suppressed", "it is not wanted")


async def test_a_postponed_job_runs_at_its_time(database: Settings, recorder: Recorder) -> None:
    """Until then it is scheduled, with its message. This is no attempt. What it wrote stays."""
    until = later(seconds=1)
    waits = deciding(lambda _: Postponed(until) if now() < until else None)
    async with noting(database, job_of(recorder, effect=waits)) as notes:
        message = note()
        assert await notes.arrive(message) is Outcome.SCHEDULED
        shown = await notes.read(f"jobs/notes/{message.event_id}")
        assert (shown["attempts"], shown["attempt_log"], shown["error"]) == (0, [], None)
        assert shown["payload"] is not None
        assert (await notes.fetch(WRITTEN))[0][0] == 1
        assert await notes.arrive(message) is Outcome.DUPLICATE
        await notes.until(message.event_id, "done")
        shown = await notes.read(f"jobs/notes/{message.event_id}")
        assert (shown["attempts"], len(shown["attempt_log"])) == (1, 1)


@pytest.mark.parametrize("failures", [0, 1])
async def test_a_postponed_job_does_not_age(database: Settings, recorder: Recorder, failures: int) -> None:
    """Its deadline counts from the time until which it was postponed: it is delayed, and never dropped. Attempts from
    before count."""
    asked: list[Envelope] = []

    def decide(envelope: Envelope) -> Decision | None:
        asked.append(envelope)
        if len(asked) <= failures:
            raise RuntimeError("broken on request")
        return Postponed(later(seconds=0.2)) if len(asked) == failures + 1 else None

    job = job_of(recorder, effect=deciding(decide))
    async with noting(database, job, looping=False) as notes:
        message = note(time=now() - timedelta(days=6))
        await notes.arrive(message)
        for _ in range(failures):
            await notes.fetch("UPDATE jobs SET next_attempt_at = now()")
            await notes.ledger.run_due(job)
        shown = await notes.read(f"jobs/notes/{message.event_id}")
        assert (shown["state"] in ("scheduled", "waiting"), shown["attempts"]) == (True, failures)
        await notes.fetch("UPDATE jobs SET next_attempt_at = now()")
        assert await notes.ledger.run_due(job) is Outcome.DONE
    assert asked[-1].due_at is not None
    assert asked[0].due_at is None
    assert asked[-1].time == asked[0].time
