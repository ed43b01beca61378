"""Creates a delivery of each event for each of its user's webhooks that subscribes to it. The calls are made
elsewhere (`services.worker.webhooks`): a receiver that hangs delays neither this queue nor its events."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from services.worker.ledger.job import Batching, Job, Policy
from services.worker.webhooks import deliveries
from services.worker.webhooks.calls import CONCURRENCY
from shared.contracts.events import Envelope
from shared.db.engine import Connection

BATCH_SIZE = 100
BATCH_WAIT_S = 0.01
POLICY = Policy(
    attempts=12,
    backoff_base_s=1,
    backoff_cap_s=600,
    prefetch=3 * BATCH_SIZE,
    concurrency=CONCURRENCY,
    ends_with_user=True,
)

# Locked against their deletion, until their deliveries exist and can be deleted with them.
FIND = """
    SELECT user_id, id, lane, events FROM webhooks WHERE user_id = ANY($1) AND enabled
    ORDER BY user_id, id FOR KEY SHARE
"""


async def fan_out(connection: Connection, envelopes: Sequence[Envelope]) -> None:
    """A user's events are sent only to that user's webhooks."""
    webhooks: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in await connection.fetch(FIND, list({envelope.event.user_id for envelope in envelopes})):
        webhooks[row["user_id"]].append(row)
    new = [
        deliveries.of_event(envelope, row["id"], row["lane"])
        for envelope in envelopes
        for row in webhooks[envelope.event.user_id]
        if envelope.event.type in row["events"]
    ]
    if new:
        await deliveries.add(connection, new)


def job() -> Job:
    batching = Batching(effect=fan_out, size=BATCH_SIZE, wait_s=BATCH_WAIT_S)
    return Job(name=deliveries.JOB, policy=POLICY, effect=batching.on_one, batching=batching)
