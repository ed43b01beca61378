"""The jobs of the worker, and other policies for them in a test."""

from dataclasses import replace
from typing import Any

import pytest

from services.worker import jobs
from services.worker.ledger.job import Job, Policy
from services.worker.settings import Settings
from shared.contracts.events import Envelope
from shared.db.engine import Connection


def policies(settings: Settings) -> dict[str, Policy]:
    return {name: each.bound_policy(settings) for name, each in jobs.discover().items()}


def policy_of(name: str) -> Policy:
    return jobs.discover()[name].policy


def job_of(name: str) -> Job:
    """The job without its effect: for what only asks for its name, its panels and its policy."""
    declared = jobs.discover()[name]

    async def no_effect(_connection: Connection, _envelope: Envelope) -> None:
        return None

    return Job(name=name, policy=declared.policy, effect=no_effect, types=declared.types, panels=declared.panels)


def patch_policy(patch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    declared = jobs.discover()[name]
    patch.setitem(jobs.JOBS, name, replace(declared, policy=replace(declared.policy, **changes)))


def patch_batch(patch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    declared = jobs.discover()[name]
    assert declared.batch
    patch.setitem(jobs.JOBS, name, replace(declared, batch=replace(declared.batch, **changes)))
