"""Rates: how many of a job may start per second, in all workers together."""

import asyncio

from services.worker.ledger.ledger import RATE_BURST_S, Outcome
from services.worker.settings import Settings
from tests.support.waiting import eventually
from tests.support.worker.ledgers import Recorder, job_of, note, noting
from tests.support.worker.world import LONG_S

RATE = 20
MESSAGES = 30


async def test_two_workers_share_a_rate(database: Settings, recorder: Recorder) -> None:
    """All run, and no faster than the rate allows."""
    job = job_of(recorder, rate_per_s=RATE)
    async with noting(database, job) as one, noting(database, job) as two:
        outcomes = await asyncio.gather(*((one, two)[number % 2].arrive(note()) for number in range(MESSAGES)))
        assert set(outcomes) == {Outcome.SCHEDULED}

        async def all_are_done() -> bool:
            rows = await one.fetch("SELECT count(*) AS done FROM jobs WHERE state = 'done'")
            return bool(rows[0]["done"] == MESSAGES)

        await eventually(all_are_done, LONG_S)
        assert len(set(recorder.ids)) == MESSAGES
        rows = await one.fetch("SELECT max(started_at) - min(started_at) AS took FROM job_attempts")
        assert rows[0]["took"].total_seconds() >= (MESSAGES - 1) / RATE - RATE_BURST_S - 0.05


async def test_others_do_not_wait_for_it(database: Settings, recorder: Recorder) -> None:
    """A job whose rate is used up delays no other job."""
    other = Recorder()
    async with noting(database, job_of(recorder, rate_per_s=1 / 3600), job_of(other, "others")) as notes:
        for _ in range(3):
            await notes.arrive(note())
        assert await notes.arrive(note(), notes.jobs[1]) is Outcome.DONE

        async def one_is_done() -> bool:
            states = await notes.fetch("SELECT state, count(*) FROM jobs WHERE job = 'notes' GROUP BY 1 ORDER BY 1")
            return [tuple(row) for row in states] == [("done", 1), ("scheduled", 2)]

        await eventually(one_is_done, LONG_S)
        assert len(recorder.ran) == 1
