"""The panel `orders`."""

import asyncio
import time
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI

from services.orders import panels
from shared.contracts.panels import DEADLINE_HEADER
from shared.db.engine import Database
from tests.support.orders import Visitor


async def _panels(gateway: Visitor, *user_ids: UUID, deadline_ms: int = 30_000) -> httpx.Response:
    body = {"ids": list(map(str, user_ids))}
    headers = {DEADLINE_HEADER: str(deadline_ms)}
    return await gateway.post("/internal/panels/orders", json=body, headers=headers)


async def test_each_user_has_their_own_orders(app: FastAPI, user: Visitor) -> None:
    """Orders are newest first, with the fields of the contract in the format of the API; `[]` for a user without
    orders."""
    other, nobody = Visitor(app), Visitor(app)
    mine, theirs = [await user.place() for _ in range(2)], await other.place()
    answer = (await _panels(user, user.user_id, other.user_id, nobody.user_id)).json()
    fields = ("id", "status", "total", "currency", "item_count", "created_at")
    assert answer["items"] == {
        str(user.user_id): [{field: order[field] for field in fields} for order in mine[::-1]],
        str(other.user_id): [{field: theirs[field] for field in fields}],
        str(nobody.user_id): [],
    }
    assert answer["missing"] == []


async def test_a_panel_has_the_twenty_most_recent(user: Visitor) -> None:
    """The panel omits the 21st order."""
    placed = [(await user.place())["id"] for _ in range(21)]
    answer = (await _panels(user, user.user_id)).json()
    assert [order["id"] for order in answer["items"][str(user.user_id)]] == placed[:0:-1]


async def test_a_panel_reads_no_more_for_a_user_with_many_orders(alone: FastAPI) -> None:
    """It reads twenty of 2000 orders, only from the index, in its order, without a sort, even if most users have so few
    that Postgres does not expect more."""
    user, db = Visitor(alone), alone.state.db
    add = (
        "INSERT INTO orders SELECT owner, gen_random_uuid(), 'created', 'EUR', 1, 1, true, now(), now() "
        "FROM unnest($1::uuid[]) AS owner, generate_series(1, $2)"
    )
    await db.pool.execute(add, [uuid4() for _ in range(2000)], 10)
    await db.pool.execute(add, [user.user_id], 2000)
    await db.pool.execute("VACUUM ANALYZE orders")
    lines = await db.pool.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) {panels.LOAD}", [user.user_id])
    plan = "\n".join(line[0] for line in lines)
    assert "Index Only Scan Backward using orders_panel on orders (actual rows=20" in plan
    assert "Sort" not in plan


async def test_a_panel_ends_with_its_deadline(user: Visitor, db: Database) -> None:
    """While the table is locked, the response is 503 after the time that the caller gave, before the lock timeout."""
    async with db.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        async with asyncio.timeout(45):
            response = await _panels(user, user.user_id, deadline_ms=100)
        took = time.monotonic() - began
    assert response.status_code == 503
    assert took >= 0.1


async def test_a_deadline_covers_the_wait_for_a_connection(app: FastAPI, user: Visitor, db: Database) -> None:
    """While all connections are in use, the wait for one counts towards the deadline."""
    async with asyncio.TaskGroup() as group:
        done = asyncio.Event()
        taken = asyncio.Semaphore(0)

        async def hold() -> None:
            async with db.connection():
                taken.release()
                await done.wait()

        size = app.state.settings.pool_size
        holders = [group.create_task(hold()) for _ in range(size)]
        for _ in range(size - 1):  # the relay or its gauges may have one
            await taken.acquire()
        response = await _panels(user, user.user_id, deadline_ms=100)
        done.set()
        await asyncio.wait(holders)
    assert response.status_code == 503
