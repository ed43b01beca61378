"""Creates a delivery of each event for each of its user's webhooks that subscribes to it. The calls are made
elsewhere (`services.worker.webhooks`): a receiver that hangs delays neither this queue nor its events."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg

from services.worker.jobs import Batch, job
from services.worker.ledger import pruner
from services.worker.ledger.external_effects import RepeatableWork
from services.worker.ledger.pruner import EVERY_MINUTE
from services.worker.webhooks import deliveries
from services.worker.webhooks.calls import CONCURRENCY
from shared.contracts.events import (
    CredentialsRevoked,
    Envelope,
    ImportCompleted,
    OrderCancelled,
    OrderCreated,
    OrderPaid,
    OrderShipped,
    UserUpdated,
)
from shared.contracts.tasks import Tick
from shared.db.engine import Connection, Database
from shared.http.tokens import CLOCK_SKEW_S

CLOCKS_DIFFER = timedelta(seconds=CLOCK_SKEW_S)
"""Rather disable one that was registered just afterwards than leave one from before."""
# Locked against their deletion, until their deliveries exist and can be deleted with them.
FIND = """
    SELECT user_id, id, lane, events FROM webhooks WHERE user_id = ANY($1) AND enabled
    ORDER BY user_id, id FOR KEY SHARE
"""


@job(
    name=deliveries.JOB,
    on=(OrderCreated, OrderPaid, OrderShipped, OrderCancelled, ImportCompleted, UserUpdated),
    batch=Batch(size=100, wait_ms=10),
    concurrency=CONCURRENCY,
    ends_with_user=True,
)
async def fan_out(envelopes: Sequence[Envelope], connection: Connection) -> None:
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


DISABLE = """
    UPDATE webhooks SET enabled = false, disabled_reason = 'revoked', disabled_at = now(), updated_at = now()
    WHERE user_id = $1 AND enabled AND created_at < $2
"""


@job(name="revoke-webhooks", on=CredentialsRevoked, concurrency=1, ends_with_user=True)
async def revoke(event: CredentialsRevoked, connection: Connection) -> None:
    """Disable the webhooks that were registered before the owner of the account proved to be its owner."""
    await connection.execute(DISABLE, event.user_id, event.revoked_at + CLOCKS_DIFFER)


@job(name="purge-webhooks", cron=EVERY_MINUTE, missed="skip", concurrency=1)
async def purge_webhooks(_tick: Tick, db: Database) -> RepeatableWork:
    """Delete old deliveries."""
    return RepeatableWork(partial(pruner.purge, db, "webhook_deliveries", deliveries.PURGE, deliveries.KEEP_S))
