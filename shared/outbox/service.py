"""Wiring of a service that owns a database and publishes events from its outbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from shared.db.engine import Database, DatabaseSettings
from shared.outbox.relay import Relay
from shared.server.background import Background


class ProducerSettings(DatabaseSettings):
    rabbitmq_url: str
    """`amqp://user:password@host:port/vhost`; for a cluster, one URL per node, separated by commas."""


@asynccontextmanager
async def running(
    app: FastAPI, service: str, settings: ProducerSettings, lock_timeout_s: float = 0
) -> AsyncIterator[Database]:
    """Provide the database as `app.state.db` and run the relay in the background, within the block. `lock_timeout_s` is
    how long a statement waits for a lock; 0 disables the limit.

    Without RabbitMQ such a service is only degraded: it accepts requests, and events wait in the outbox.
    """
    async with Database.open(settings, lock_timeout_s=lock_timeout_s) as db, Background() as background:
        relay = Relay(db, settings.rabbitmq_url, service)
        background.start("relay", relay.run)
        background.every(relay.MEASURE_S, "outbox gauges", relay.measure)
        app.state.db = db
        app.state.background = background
        app.state.checks.needed["postgres"] = db.ping
        app.state.checks.useful |= {"rabbitmq": relay.check, "background": background.check}
        yield db


async def _database(request: Request) -> Database:
    db: Database = request.app.state.db
    return db


DatabaseDep = Annotated[Database, Depends(_database)]
