"""The database: migrations, and what seeding writes to it."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.local.servers.sql import fetch
from services.orders import service
from services.orders.models import Order
from services.orders.schemas import NewOrder
from services.orders.states import Status
from shared.db import Database
from shared.migrations import migrate
from tests.support.backends.databases import NewDatabase
from tests.support.orders import BODY


def test_two_may_migrate_at_once(new_database: NewDatabase) -> None:
    """Both succeed, on an empty database and on one that is up to date."""
    url = new_database()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        for _ in range(2):
            list(processes.map(migrate, ["orders"] * 2, [url] * 2))
    assert fetch(url, "SELECT count(*) FROM alembic_version")[0]["count"] == 1


async def test_the_models_are_what_the_migrations_make(db: Database) -> None:
    """Alembic finds nothing that differs."""

    def differences(connection: sa.Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), Order.metadata)

    async with db.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_seeding_writes_a_past(db: Database) -> None:
    """Orders and their changes can be given past times, which their ids, rows and events then have."""
    placed_at, paid_at = datetime(2024, 2, 28, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
    user_id = uuid4()
    async with db.connection() as connection:
        order = await service.place(
            connection, user_id, NewOrder.model_validate(BODY), created_at=placed_at, mail=False
        )
    async with db.begin() as session:
        moved = await service.move(session, order.id, user_id, Status.PAID, at=paid_at)
    assert (moved.created_at, moved.updated_at) == (placed_at, paid_at)
    assert order.id.int >> 80 == int(placed_at.timestamp() * 1000)
    events = await db.pool.fetch("SELECT payload->>'mail' AS mail, payload->>'changed_at' AS changed_at FROM outbox")
    assert [tuple(event) for event in events] == [("false", None), ("false", "2024-02-29T00:00:00Z")]
