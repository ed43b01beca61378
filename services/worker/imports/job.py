"""Wakes the importer when an upload has queued a file; `services.worker.imports` runs the import."""

from collections.abc import Callable

from services.worker.ledger.job import Job, Policy
from shared.contracts.events import Envelope
from shared.db.engine import Connection

POLICY = Policy(attempts=12, backoff_base_s=1, backoff_cap_s=600, prefetch=20, concurrency=2, ends_with_user=True)


def job(wake: Callable[[], None]) -> Job:
    async def effect(_connection: Connection, _envelope: Envelope) -> None:
        wake()

    return Job(name="imports", policy=POLICY, effect=effect)
