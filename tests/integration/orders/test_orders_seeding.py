"""What seeding writes to the database."""

from datetime import UTC, datetime
from uuid import uuid4

from services.orders import service
from services.orders.models import Status
from services.orders.schemas import NewOrder
from shared.db.engine import Database
from tests.support.orders import BODY


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
    query = "SELECT payload->>'mail' AS mail, payload->>'changed_at' AS changed_at FROM outbox WHERE user_id = $1"
    events = await db.pool.fetch(f"{query} ORDER BY id", user_id)
    assert [tuple(event) for event in events] == [("false", None), ("false", "2024-02-29T00:00:00Z")]
