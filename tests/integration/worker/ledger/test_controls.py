"""What operators do with single jobs and with all jobs of a name."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest

from services.worker.ledger.external_effects import LEASE
from services.worker.settings import Settings
from tests.support.waiting import eventually
from tests.support.worker.ledgers import Notes, Recorder, job_of, later, note, noting
from tests.support.worker.world import LONG_S

NOTHING = UUID(int=1)


async def actions(notes: Notes) -> Sequence[str]:
    return [row["action"] for row in await notes.fetch("SELECT action FROM job_audit ORDER BY id")]


async def test_a_delayed_task_runs_now(database: Settings, recorder: Recorder) -> None:
    """Retrying it makes it due, and is audited."""
    async with noting(database, job_of(recorder)) as notes:
        message = note(due=later(hours=1))
        await notes.arrive(message)
        assert (await notes.post(f"jobs/notes/{message.event_id}/retry")).status_code == 204
        await notes.until(message.event_id, "done")
        assert await actions(notes) == ["retry"]
        shown = await notes.read(f"jobs/notes/{message.event_id}")
        assert [entry["previous_state"] for entry in shown["audit"]] == ["scheduled"]


@pytest.mark.parametrize("failures", [1, 3])
async def test_a_failed_job_runs_now(database: Settings, recorder: Recorder, failures: int) -> None:
    """One that waits for its next attempt keeps its attempts; a dead one starts over."""
    recorder.failures = failures
    job = job_of(recorder)
    pause_s = 1e6 if failures == 1 else 0.01
    job = replace(job, policy=replace(job.policy, backoff_base_s=pause_s, backoff_cap_s=pause_s))
    async with noting(database, job) as notes:
        message = note()
        await notes.arrive(message)
        await notes.until(message.event_id, "retrying" if failures == 1 else "dead")
        assert (await notes.post(f"jobs/notes/{message.event_id}/retry")).status_code == 204
        await notes.until(message.event_id, "done")
        shown = await notes.read(f"jobs/notes/{message.event_id}")
        assert (shown["total_attempts"], len(shown["attempt_log"])) == (failures + 1, failures + 1)
        assert [one["outcome"] for one in shown["attempt_log"]][-1] == "done"


async def test_a_delayed_task_is_cancelled(database: Settings, recorder: Recorder) -> None:
    """It does not run; it can be retried, and cancelled once."""
    async with noting(database, job_of(recorder)) as notes:
        message = note(due=later(hours=1))
        await notes.arrive(message)
        path = f"jobs/notes/{message.event_id}"
        assert (await notes.post(f"{path}/cancel")).status_code == 204
        assert await notes.state(message.event_id) == "cancelled"
        answer = await notes.post(f"{path}/cancel")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_finished")
        assert recorder.ran == []
        assert (await notes.post(f"{path}/retry")).status_code == 204
        await notes.until(message.event_id, "done")
        answer = await notes.post(f"{path}/retry")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_finished")


async def test_a_running_job_is_left_alone(database: Settings, recorder: Recorder) -> None:
    """409 with the reason, within a transaction and outside the database."""
    recorder.gate.clear()
    async with noting(database, job_of(recorder)) as notes:
        inside, outside = note(due=later(seconds=0.1)), note(due=later(hours=1))
        for message in (inside, outside):
            await notes.arrive(message)
        await eventually(recorder.started.is_set, LONG_S)
        leased = ("notes", outside.event_id, 1, LONG_S, outside.body, outside.headers_json, "another", None)
        await notes.fetch(LEASE, *leased)
        for message in (inside, outside):
            assert await notes.state(message.event_id) == "running"
            for action in ("cancel", "retry"):
                answer = await notes.post(f"jobs/notes/{message.event_id}/{action}")
                assert (answer.status_code, answer.json()["code"]) == (409, "job_running")
        assert await actions(notes) == []
        recorder.gate.set()
        await notes.until(inside.event_id, "done")


async def test_a_delivery_is_not_cancelled_here(database: Settings, recorder: Recorder) -> None:
    """Otherwise its record would wait forever."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        message = note(due=later(hours=1))
        await notes.arrive(message)
        await notes.fetch("UPDATE jobs SET lane = 'host:443'")
        answer = await notes.post(f"jobs/notes/{message.event_id}/cancel")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_finished")


async def test_a_job_that_no_worker_has(database: Settings, recorder: Recorder) -> None:
    """It would be due forever."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        message = note(due=later(hours=1))
        await notes.arrive(message, job_of(recorder, "removed"))
        answer = await notes.post(f"jobs/removed/{message.event_id}/retry")
        assert (answer.status_code, answer.json()["code"]) == (409, "job_finished")
        assert (await notes.post(f"jobs/removed/{message.event_id}/cancel")).status_code == 204


async def test_pause_and_resume(database: Settings, recorder: Recorder) -> None:
    """Due rows of a paused job wait, in every worker; others run. Each action that changes something is audited."""
    other = Recorder()
    async with noting(database, job_of(recorder), job_of(other, "others")) as notes:
        for _ in range(2):
            assert (await notes.post("jobs/notes/pause")).status_code == 204
        assert await notes.ledger.paused() == {"notes"}
        [paused] = (await notes.read("jobs/paused", role="support"))["items"]
        [audited] = await notes.fetch("SELECT actor, at FROM job_audit")
        assert (paused["job"], UUID(paused["actor"])) == ("notes", audited["actor"])
        assert datetime.fromisoformat(paused["paused_at"]) == audited["at"]
        waiting, running = note(due=later()), note(due=later())
        await notes.arrive(waiting)
        await notes.arrive(running, notes.jobs[1])
        await notes.until(running.event_id, "done", "others")
        assert await notes.ledger.run_due(notes.job) is None
        assert await notes.ledger.run_one(notes.job, waiting.event_id) is None
        assert await notes.state(waiting.event_id) == "waiting"
        for _ in range(2):
            assert (await notes.post("jobs/notes/resume")).status_code == 204
        await notes.until(waiting.event_id, "done")
        assert await notes.ledger.paused() == frozenset()
        assert (await notes.read("jobs/paused"))["items"] == []
        assert await actions(notes) == ["pause", "resume"]


@pytest.mark.parametrize(
    "path",
    ["jobs/unknown/pause", "jobs/unknown/resume", f"jobs/notes/{NOTHING}/retry", f"jobs/notes/{NOTHING}/cancel"],
)
async def test_what_is_unknown(database: Settings, recorder: Recorder, path: str) -> None:
    """404, and 403 for support."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        answer = await notes.post(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
        assert (await notes.post(path, role="support")).status_code == 403
