"""Users take turns with their imports, however many files one of them has."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.worker.settings import Settings
from tests.support.waiting import eventually
from tests.support.worker.imports import Gate, Orders, Owner, csv_of, line, many
from tests.support.worker.world import LONG_S, World, working

ONE_BY_ONE = {"import_concurrency": 1, "import_window": 1}
IN_HAND = "SELECT id FROM imports WHERE user_id = $1 AND lease_id IS NOT NULL AND lease_until > now()"


@pytest.fixture
async def world(importing: Settings, gate: Gate) -> AsyncIterator[World]:
    """A worker that has one batch at the orders service at a time, and a gate before it that is closed."""
    gate.let_through(0)
    async with working(importing.model_copy(update=ONE_BY_ONE)) as world:
        await world.until_ready()
        try:
            yield world
        finally:
            gate.open()


async def upload(owner: Owner, data: bytes) -> str:
    answer = await owner.upload(data)
    assert answer.status_code == 202, answer.text
    import_id: str = answer.json()["id"]
    return import_id


async def until_in_hand(world: World, owner: Owner, count: int = 1) -> None:
    async def in_hand() -> bool:
        return len(await world.fetch(IN_HAND, owner.user_id)) == count

    await eventually(in_hand, LONG_S)


async def turns_of(world: World, import_id: str) -> Any:
    [row] = await world.fetch("SELECT started_at, taken_at FROM imports WHERE id = $1", import_id)
    return row


@pytest.mark.full
@pytest.mark.parametrize(
    "data",
    [pytest.param(many(5000), id="large files"), pytest.param(many(1), id="small files")],
)
async def test_one_row_waits_for_one_batch(world: World, orders: Orders, gate: Gate, data: bytes) -> None:
    """Though six files of another user came before it."""
    greedy, modest = Owner(world.http), Owner(world.http)
    for _ in range(6):
        await upload(greedy, data)
    await until_in_hand(world, greedy)
    mine = await upload(modest, csv_of(line("mine")))
    gate.let_through(2)
    assert (await modest.ended(mine))["rows_done"] == 1
    assert await orders.count(greedy.user_id) in (1, 1000)


async def test_every_user_has_a_batch_in_each_round(world: World, orders: Orders, gate: Gate) -> None:
    """One with three files gets no more than those with one."""
    owners = [Owner(world.http) for _ in range(3)]
    for _ in range(3):
        await upload(owners[0], many(5000))
    await until_in_hand(world, owners[0])
    for owner in owners[1:]:
        await upload(owner, many(5000))
    for rounds in (1, 2):
        gate.let_through(len(owners))

        async def placed(rounds: int = rounds) -> bool:
            return [await orders.count(owner.user_id) for owner in owners] == [1000 * rounds] * 3

        await eventually(placed, LONG_S)


@pytest.mark.full
async def test_a_user_alone_is_not_interrupted(world: World, gate: Gate) -> None:
    """By other files of their own: those wait until the first is done."""
    owner = Owner(world.http)
    first, second = await upload(owner, many(3000)), await upload(owner, many(1))
    await until_in_hand(world, owner)
    gate.open()
    assert (await owner.ended(first))["rows_done"] == 3000
    row = await turns_of(world, first)
    assert row["started_at"] == row["taken_at"]
    assert (await owner.ended(second))["state"] == "completed"


@pytest.mark.full
async def test_a_user_alone_has_every_place(importing: Settings, gate: Gate) -> None:
    """Until another comes, who then has one of them."""
    gate.let_through(0)
    async with working(importing.model_copy(update={"import_concurrency": 3})) as world:
        await world.until_ready()
        greedy, modest = Owner(world.http), Owner(world.http)
        theirs = [await upload(greedy, many(5000)) for _ in range(4)]
        await until_in_hand(world, greedy, 3)
        mine = await upload(modest, many(5000))
        gate.let_through(20)
        await until_in_hand(world, modest)
        gate.open()
        assert (await modest.ended(mine))["rows_done"] == 5000
        for import_id in theirs:
            assert (await greedy.ended(import_id))["rows_done"] == 5000
