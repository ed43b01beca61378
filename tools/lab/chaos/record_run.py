"""The task of a run, and the names and the table of its jobs (`tools.lab.chaos.jobs`), which only workers import."""

from shared.contracts.tasks import Task

JOBS_MODULE = "tools.lab.chaos.jobs"
TASK_JOB, SCHEDULE = "chaos_tasks", "chaos_ticks"
QUEUE = f"worker.{TASK_JOB}"
RUNS = """
    CREATE TABLE chaos_runs (
        event_id uuid NOT NULL, tick timestamptz, seen_at timestamptz, began_at timestamptz NOT NULL DEFAULT now()
    )
"""
"""The effects, in the worker's database. Without a key, so that a task that runs twice has two rows."""


class RecordRun(Task, frozen=True, kw_only=True):
    """Insert a row into `chaos_runs`."""
