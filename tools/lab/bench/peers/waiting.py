"""The task of `BENCH=delays`. Its job is in `waiting_jobs`, which only the worker imports."""

from shared.contracts.tasks import Task

JOB = "bench_wait"
JOBS_MODULE = "tools.lab.bench.peers.waiting_jobs"


class BenchWait(Task, frozen=True, kw_only=True):
    """Do nothing; the ledger records when."""
