"""The part of an export that the orders service has: whole, in one snapshot, without holding it."""

import asyncio
import tracemalloc
from typing import Any

import pytest
from fastapi import FastAPI

from services.orders.export import PARTS
from shared.db import Database
from shared.export import Exports, ExportsBusy
from shared.ids import new_id
from shared.takeout import PATH
from tests.support.orders import Visitor

MANY = """
    INSERT INTO orders (user_id, id, status, currency, total, item_count, mail, created_at, updated_at)
    SELECT $1, gen_random_uuid(), 'created', 'EUR', 100, 1, false, now(), now() FROM generate_series(1, $2)
"""


async def test_it_holds_ones_own_orders_and_no_others(app: FastAPI, user: Visitor) -> None:
    """With their items, times in UTC; somebody who has none gets an empty list."""
    placed = await user.place()
    other = Visitor(app)
    found: dict[str, Any] = (await user.get(PATH)).json()
    (order,) = found["orders"]
    assert (order["id"], order["total"], len(order["items"])) == (placed["id"], placed["total"], 2)
    assert order["created_at"].endswith("+00:00")
    assert (await other.get(PATH)).json() == {"orders": []}


async def test_only_the_gateway_gathers_it(app: FastAPI, user: Visitor) -> None:
    """401 without its token."""
    assert (await user.get(PATH, headers={"Authorization": ""})).status_code == 401
    assert app.state


async def test_memory_does_not_grow_with_it(db: Database) -> None:
    """Twenty times as many orders take no more memory, give or take a piece."""
    peaks = []
    for count in (1_000, 20_000):
        user_id = new_id()
        async with db.connection() as connection:
            await connection.execute(MANY, user_id, count)
        tracemalloc.start()
        size = 0
        async for chunk in Exports(PARTS).chunks(db, user_id):
            size += len(chunk)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert size > count * 100
    assert peaks[1] < peaks[0] + 1024 * 1024


async def test_so_many_at_once_and_one_a_user(db: Database) -> None:
    """More are told to come again; one that is given up makes room."""
    exports = Exports(PARTS)
    first, user_id = exports.chunks(db, new_id()), new_id()
    second = exports.chunks(db, user_id)
    await asyncio.gather(anext(first), anext(second))
    with pytest.raises(ExportsBusy):
        await anext(exports.chunks(db, new_id()))
    await first.aclose()
    with pytest.raises(ExportsBusy):
        await anext(exports.chunks(db, user_id))
    third = exports.chunks(db, new_id())
    assert await anext(third) == "{"
    await third.aclose()
    await second.aclose()
