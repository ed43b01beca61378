"""How many connections the jobs hold."""

import asyncio

from services.worker.settings import Settings
from tests.support.metrics import sample
from tests.support.waiting import eventually
from tests.support.worker.ledgers import Recorder, job_of, note, noting


async def test_all_jobs_together_leave_connections_for_the_panels(database: Settings, recorder: Recorder) -> None:
    """However many jobs there are, their effects hold three quarters of the pool at most. The others wait."""
    recorder.gate.clear()
    jobs = [job_of(recorder, "one"), job_of(recorder, "two"), job_of(recorder, "three")]
    async with noting(database.model_copy(update={"pool_size": 8}), *jobs, looping=False) as notes:
        arrived = [asyncio.create_task(notes.arrive(note(), job)) for job in jobs for _ in range(4)]
        await eventually(lambda: len(recorder.times) == 6)
        assert sample("pool_waiting", {"pool": "job_transactions"}) == len(arrived) - 6
        async with asyncio.timeout(60), notes.db.connection(), notes.db.connection():
            recorder.gate.set()
            await asyncio.gather(*arrived)
    assert len(recorder.ran) == len(arrived)
