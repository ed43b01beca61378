"""Sums of money that no bigint holds: added, taken back and shown like any others."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.worker.analytics.rollups import MOST
from shared.clock import now
from shared.contracts import events
from shared.contracts.internal_api import PERSONAL_DATA_PATH
from shared.ids import new_id
from tests.support.worker.world import World, as_user, changed, created

BIGINT = 2**63 - 1
LARGE = 9 * 10**18
GOLDEN = Path(__file__).parents[2] / "golden/statements/worker.json"


async def revenue_of(world: World, user_id: UUID) -> tuple[int, int]:
    """In all, and of today."""
    panel = (await world.panel("analytics", user_id))[str(user_id)]
    return panel["revenue"].get("EUR", 0), panel["daily"][-1]["revenue"].get("EUR", 0)


async def test_a_sum_beyond_a_bigint(world: World) -> None:
    """Reached in one batch and in several; every way to read it tells it exactly, and other users notice nothing."""
    user_id, other, at = uuid4(), uuid4(), now()
    placed = [created(user_id, LARGE, created_at=at, mail=False) for _ in range(3)]
    small = [created(other, 100, created_at=at, mail=False) for _ in range(3)]
    for pair in zip(placed, small, strict=True):
        await world.until_all(await world.publish(*pair), analytics="done")
    more = [created(user_id, LARGE, created_at=at, mail=False) for _ in range(20)]
    await world.until_all(await world.publish(*more), analytics="done")
    total = 23 * LARGE
    assert await revenue_of(world, user_id) == (total, total)
    panel = (await world.panel("analytics", user_id))[str(user_id)]
    assert panel["average_order"] == {"EUR": LARGE}
    assert await revenue_of(world, other) == (300, 300)
    period = {"from": f"{at:%Y-%m-%d}", "to": f"{at + timedelta(days=1):%Y-%m-%d}", "form": "data"}
    report = await world.http.get("/internal/reports/analytics", params=period, headers=as_user(user_id))
    assert [row["revenue"] for row in csv.DictReader(io.StringIO(report.text))] == [str(total)]
    export = (await world.http.get(PERSONAL_DATA_PATH, headers=as_user(user_id))).json()
    assert [row["revenue"] for row in export["analytics"]] == [total]

    back = [changed(events.OrderCancelled, order, "created") for order in [*placed, *more[1:]]]
    await world.until_all(await world.publish(*back), analytics="done")
    assert await revenue_of(world, user_id) == (LARGE, LARGE)


@pytest.mark.full
async def test_a_large_import(world: World) -> None:
    """An event of many rows has a sum of its own for each day and currency."""
    user_id, at = uuid4(), now()
    day = events.ImportedSum(currency="EUR", day=at.date(), orders=1000, items=1000, revenue=10**16)
    told = [
        events.OrdersImported(user_id=user_id, import_id=new_id(), sums=(day,), last_order_at=at) for _ in range(1000)
    ]
    await world.until_all(await world.publish(*told), analytics="done")
    assert await revenue_of(world, user_id) == (10**19, 10**19)


async def test_sums_far_below_zero_come_back(world: World) -> None:
    """Cancellations that arrive before their orders."""
    user_id = uuid4()
    placed = [created(user_id, LARGE, mail=False) for _ in range(3)]
    back = [changed(events.OrderCancelled, order, "created") for order in placed]
    await world.until_all(await world.publish(*back), analytics="done")
    await world.until_all(await world.publish(*placed, created(user_id, 7, mail=False)), analytics="done")
    assert (await revenue_of(world, user_id))[0] == 7


@pytest.mark.parametrize("kept", [0, MOST - 1, MOST, BIGINT, -BIGINT])
async def test_the_release_before_may_add_meanwhile(world: World, kept: int) -> None:
    """Its statement adds to the column that it knows; what both have added is the sum, whoever was last."""
    user_id = uuid4()
    [old] = [text for text in json.loads(GOLDEN.read_text()) if "INSERT INTO user_currency_rollups" in text]
    connection = await asyncpg.connect(world.settings.database_url)
    try:
        await connection.execute(old, [user_id], ["EUR"], [1], [kept])
        await world.until_all(await world.publish(created(user_id, 10**15, mail=False)), analytics="done")
        await connection.execute(old, [user_id], ["EUR"], [1], [5])
    finally:
        await connection.close()
    assert (await revenue_of(world, user_id))[0] == kept + 10**15 + 5
