"""The part of an export that the orders service has: whole, in one snapshot, without holding it."""

import asyncio
import tracemalloc
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi import FastAPI

from services.orders.models import Base
from shared.contracts.internal_api import PERSONAL_DATA_PATH
from shared.db.engine import Database
from shared.downloads.personal_data import Exports, ExportsBusy
from shared.ids import new_id
from tests.support.orders import Visitor
from tests.support.served import listening
from tests.support.slow_reader import asking, rest_of
from tests.support.waiting import eventually

MANY = """
    INSERT INTO orders (user_id, id, status, currency, total, item_count, mail, created_at, updated_at)
    SELECT $1, gen_random_uuid(), 'created', 'EUR', 100, 1, false, now(), now() FROM generate_series(1, $2)
"""


async def test_it_holds_ones_own_orders_and_no_others(app: FastAPI, user: Visitor) -> None:
    """With their items, times in UTC; somebody who has none gets an empty list."""
    placed = await user.place()
    other = Visitor(app)
    found: dict[str, Any] = (await user.get(PERSONAL_DATA_PATH)).json()
    (order,) = found["orders"]
    assert (order["id"], order["total"], len(order["items"])) == (placed["id"], placed["total"], 2)
    assert order["created_at"].endswith("+00:00")
    assert (await other.get(PERSONAL_DATA_PATH)).json() == {"orders": []}


async def test_only_the_gateway_gathers_it(app: FastAPI, user: Visitor) -> None:
    """401 without its token."""
    assert (await user.get(PERSONAL_DATA_PATH, headers={"Authorization": ""})).status_code == 401
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
        async for chunk in Exports(Base).chunks(db, user_id):
            size += len(chunk)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert size > count * 100
    assert peaks[1] < peaks[0] + 1024 * 1024


async def test_so_many_at_once_and_one_a_user() -> None:
    """More are told to come again; one that is given up makes room."""
    exports, user_id = Exports(Base), new_id()
    async with exports.place(user_id):
        async with exports.place(new_id()):
            with pytest.raises(ExportsBusy):
                await exports.place(new_id()).__aenter__()
        with pytest.raises(ExportsBusy):
            await exports.place(user_id).__aenter__()
        async with exports.place(new_id()):
            pass


@pytest.mark.full
async def test_clients_that_are_slow_keep_nobody_from_theirs(app: FastAPI, db: Database) -> None:
    """A third account gets the place of one that takes nothing, whose response is broken off."""
    slow, quick = [Visitor(app), Visitor(app)], Visitor(app)
    async with db.connection() as connection:
        for visitor in slow:
            await connection.execute(MANY, visitor.user_id, 50_000)
    async with listening(app) as port, AsyncExitStack() as stack:
        readers = []
        for visitor in slow:
            headers = {"X-User-Id": str(visitor.user_id), "X-User-Role": "user", "Authorization": visitor.bearer}
            readers.append(await stack.enter_async_context(asking(port, PERSONAL_DATA_PATH, headers)))
            assert (await readers[-1].readline()).startswith(b"HTTP/1.1 200")

        async def served() -> bool:
            return (await quick.get(PERSONAL_DATA_PATH)).status_code == 200

        await eventually(served)  # a busy machine may take a while to fill the buffers of the slow clients
        rests = await asyncio.gather(*map(rest_of, readers))
        assert sorted(rest.endswith(b"0\r\n\r\n") for rest in rests) == [False, True]
