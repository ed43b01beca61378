"""The job of `BENCH=delays`, which the worker loads with `WORKER_JOBS`."""

from services.worker.jobs import job
from tools.lab.bench.peers.waiting import JOB, BenchWait


@job(name=JOB, on=BenchWait)
async def wait(task: BenchWait) -> None:
    """Do nothing."""
