"""Schedules: each tick runs once, and operators control them."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from services.worker.ledger.job import Job, Missed, Schedule
from services.worker.ledger.schedules import Schedules
from services.worker.ledger.timetable import InvalidSchedule
from services.worker.settings import Settings
from shared.contracts.tasks import Tick
from tests.support.waiting import eventually
from tests.support.worker.ledgers import Notes, Recorder, job_of, noting
from tests.support.worker.operators import acting
from tests.support.worker.world import LONG_S

NEVER = "0 0 1 1 *"
"""Once a year: tests make it due."""


def scheduled(recorder: Recorder, missed: Missed = "once", cron: str = NEVER, name: str = "digest") -> Job:
    return job_of(recorder, name, types=(), schedule=Schedule(cron=cron, timezone="UTC", missed=missed))


async def make_due(notes: Notes, seconds_ago: float = 0) -> datetime:
    [row] = await notes.fetch(
        "UPDATE schedules SET next_run = now() - $1 * interval '1 second' RETURNING next_run", seconds_ago
    )
    due: datetime = row["next_run"]
    return due


async def stored(notes: Notes) -> dict[str, Any]:
    """The row of the schedule, once a worker has adopted it."""

    async def adopted() -> bool:
        return bool(await notes.fetch("SELECT FROM schedules"))

    await eventually(adopted, LONG_S)
    [item] = (await notes.read("schedules", "support"))["items"]
    found: dict[str, Any] = item
    return found


async def test_a_tick_runs_once_in_two_workers(database: Settings, recorder: Recorder) -> None:
    """The job gets the time of the tick and that of the run before; the schedule moves on."""
    job = scheduled(recorder)
    async with noting(database, job) as one, noting(database, job) as two:
        assert (await stored(one))["last_run"] is None
        first = await make_due(one)
        await eventually(lambda: len(recorder.ran) == 1, LONG_S)
        second = await make_due(two)
        await eventually(lambda: len(recorder.ran) == 2, LONG_S)
        ticks = [envelope.event for envelope in recorder.ran]
        assert ticks == [
            Tick(schedule="digest", at=first, last_run=None),
            Tick(schedule="digest", at=second, last_run=first),
        ]
        schedule = await stored(one)
        assert datetime.fromisoformat(schedule["last_run"]) == second
        assert datetime.fromisoformat(schedule["next_run"]) == datetime(second.year + 1, 1, 1, tzinfo=UTC)
        [row, _] = await one.fetch("SELECT * FROM jobs ORDER BY event_id")
        assert (row["event_type"], row["user_id"], row["state"]) == ("task.tick", None, "done")


async def test_two_workers_add_a_tick_once(database: Settings, recorder: Recorder) -> None:
    """Also if both find it due at the same moment."""
    job = scheduled(recorder)
    async with noting(database, job, looping=False) as notes:
        workers = [Schedules(notes.db, [job]) for _ in range(4)]
        await workers[0].tick()
        await make_due(notes)
        await asyncio.gather(*(worker.tick() for worker in workers))
        assert len(await notes.fetch("SELECT FROM jobs")) == 1


@pytest.mark.parametrize(("missed", "runs"), [("skip", 0), ("once", 1)])
async def test_missed_ticks(database: Settings, recorder: Recorder, missed: Missed, runs: int) -> None:
    """Of the ticks of an hour without workers, one runs or none; the next run is in the future."""
    async with noting(database, scheduled(recorder, missed, "* * * * *"), looping=False) as notes:
        schedules = Schedules(notes.db, notes.jobs)
        await schedules.tick()
        due = await make_due(notes, 3600)
        await schedules.tick()
        await schedules.tick()
        assert len(await notes.fetch("SELECT FROM jobs")) == runs
        [row] = await notes.fetch("SELECT last_run, next_run > now() AS ahead FROM schedules")
        assert (row["last_run"], row["ahead"]) == (due if runs else None, True)


async def test_ticks_do_not_pile_up(database: Settings, recorder: Recorder) -> None:
    """While a tick waits, because its job is paused, the next ones are skipped."""
    async with noting(database, scheduled(recorder)) as notes:
        await stored(notes)
        await notes.post("jobs/digest/pause")
        due = await make_due(notes)
        await eventually(partial(_moved_on, notes, due), LONG_S)
        await make_due(notes)

        async def skipped() -> bool:
            [row] = await notes.fetch("SELECT last_run, next_run > now() AS ahead FROM schedules")
            return bool(row["ahead"] and row["last_run"] == due)

        await eventually(skipped, LONG_S)
        await notes.post("jobs/digest/resume")
        await eventually(lambda: len(recorder.ran) == 1, LONG_S)
        assert len(await notes.fetch("SELECT FROM jobs")) == 1


async def test_a_requested_run_does_not_replace_a_tick(database: Settings, recorder: Recorder) -> None:
    """A run that an operator requested may wait when the next tick is due: both run."""
    async with noting(database, scheduled(recorder)) as notes:
        await stored(notes)
        await notes.post("jobs/digest/pause")
        await notes.post("schedules/digest/run")
        due = await make_due(notes)
        await eventually(partial(_moved_on, notes, due), LONG_S)
        await notes.post("jobs/digest/resume")
        await eventually(lambda: len(recorder.ran) == 2, LONG_S)


async def _moved_on(notes: Notes, due: datetime) -> bool:
    return bool(await notes.fetch("SELECT FROM schedules WHERE last_run = $1 AND next_run > now()", due))


async def test_a_changed_line_is_adopted(database: Settings, recorder: Recorder) -> None:
    """At the start of a worker. An unchanged one keeps its next run, which may be overdue."""
    async with noting(database, scheduled(recorder), looping=False) as notes:
        await Schedules(notes.db, notes.jobs).tick()
        [before] = await notes.fetch("SELECT * FROM schedules")
        await Schedules(notes.db, notes.jobs).tick()
        assert await notes.fetch("SELECT * FROM schedules") == [before]
        await Schedules(notes.db, [scheduled(recorder, cron="0 0 2 1 *")]).tick()
        [after] = await notes.fetch("SELECT * FROM schedules")
        assert (after["cron"], after["next_run"] - before["next_run"]) == ("0 0 2 1 *", timedelta(days=1))


async def test_an_invalid_schedule_stops_the_start(database: Settings, recorder: Recorder) -> None:
    async with noting(database, job_of(recorder), looping=False) as notes:
        with pytest.raises(InvalidSchedule):
            Schedules(notes.db, [scheduled(recorder, cron="never")])


async def test_run_now(database: Settings, recorder: Recorder) -> None:
    """Also while the schedule is paused; each call is one run."""
    async with noting(database, scheduled(recorder)) as notes:
        next_run = (await stored(notes))["next_run"]
        answer = await notes.post("schedules/digest/run")
        assert answer.status_code == 202
        await eventually(lambda: len(recorder.ran) == 1, LONG_S)
        assert answer.json() == {"job": "digest", "event_id": str(recorder.ids[0])}
        schedule = await stored(notes)
        assert (schedule["last_run"] is not None, schedule["next_run"]) == (True, next_run)
        await notes.post("schedules/digest/pause")
        await notes.post("schedules/digest/run")
        await eventually(lambda: len(recorder.ran) == 2, LONG_S)


async def test_pause_and_resume(database: Settings, recorder: Recorder) -> None:
    """A paused schedule has no next run, also after a restart with another line; its missed ticks are skipped."""
    async with noting(database, scheduled(recorder), looping=False) as notes:
        await Schedules(notes.db, notes.jobs).tick()
        for _ in range(2):
            assert (await notes.post("schedules/digest/pause")).status_code == 204
        await Schedules(notes.db, [scheduled(recorder, cron="0 0 2 1 *")]).tick()
        schedule = await stored(notes)
        assert (schedule["paused"], schedule["next_run"]) == (True, None)
        for _ in range(2):
            assert (await notes.post("schedules/digest/resume")).status_code == 204
        schedule = await stored(notes)
        assert not schedule["paused"]
        assert datetime.fromisoformat(schedule["next_run"]) > datetime.now(UTC)
        audit = await notes.fetch("SELECT action FROM job_audit WHERE job = 'digest' ORDER BY id")
        assert [row["action"] for row in audit] == ["pause", "resume"]
        assert await notes.fetch("SELECT FROM jobs") == []


@pytest.mark.parametrize("action", ["run", "pause", "resume"])
async def test_an_unknown_schedule(database: Settings, recorder: Recorder, action: str) -> None:
    """404, also for a job without a schedule, and for a schedule whose job is gone, which is not listed."""
    async with noting(database, scheduled(recorder), job_of(recorder), looping=False) as notes:
        await Schedules(notes.db, [scheduled(recorder, name="removed")]).tick()
        for name in ("unknown", "notes", "removed"):
            answer = await notes.post(f"schedules/{name}/{action}")
            assert (answer.status_code, answer.json()["code"]) == (404, "schedule_not_found")
        assert (await notes.read("schedules"))["items"] == []
        answer = await notes.post(f"schedules/digest/{action}", role="support")
        assert answer.status_code == 403
        assert (await notes.http.get("/v1/admin/schedules", headers=acting("user"))).status_code == 403
