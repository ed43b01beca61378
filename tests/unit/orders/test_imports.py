"""Slots for which users take turns."""

import asyncio
from uuid import UUID, uuid4

from services.orders.imports import Turns

GREEDY, MODEST, THIRD = uuid4(), uuid4(), uuid4()


class Work:
    """Work that starts when it has its slot, and ends when it is released; `begun` has the order of the starts."""

    def __init__(self, places: int) -> None:
        self.turns = Turns(places)
        self.begun: list[UUID] = []
        self._ends: list[asyncio.Event] = []

    async def _do(self, user_id: UUID) -> None:
        async with self.turns.turn(user_id):
            self.begun.append(user_id)
            self._ends.append(end := asyncio.Event())
            await end.wait()

    async def ask(self, *user_ids: UUID) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._do(user_id)) for user_id in user_ids]
        await self.settle()
        return tasks

    async def end_first(self) -> None:
        self._ends.pop(0).set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_one_users_many_do_not_come_before_anothers_one() -> None:
    """After a hundred of another user, a user waits for only one of them."""
    work = Work(2)
    tasks = await work.ask(*[GREEDY] * 100, MODEST)
    assert work.begun == [GREEDY, GREEDY]
    await work.end_first()
    await work.end_first()
    assert MODEST in work.begun[2:4]
    for task in tasks:
        task.cancel()


async def test_all_who_wait_take_turns() -> None:
    """In each round every user has one slot, and no user waits for longer than a round."""
    work = Work(1)
    tasks = await work.ask(*[GREEDY] * 7, *[MODEST] * 2, *[THIRD] * 2)
    for _ in range(10):
        await work.end_first()
    assert work.begun == [GREEDY, *[GREEDY, MODEST, THIRD] * 2, *[GREEDY] * 4]
    for task in tasks:
        task.cancel()


async def test_what_is_cancelled_takes_no_place() -> None:
    """A cancelled task takes no slot, neither while it waits nor at the moment in which it would receive one."""
    work = Work(1)
    _, waiting, given, last = await work.ask(GREEDY, MODEST, THIRD, MODEST)
    waiting.cancel()
    await work.settle()
    work._ends.pop(0).set()
    await asyncio.sleep(0)
    given.cancel()
    await work.settle()
    while not last.done():
        assert work.turns.taken == 1
        await work.end_first()
    assert work.turns.taken == 0
    assert work.begun[-1] == MODEST


async def test_a_failure_gives_its_place_back() -> None:
    """The slot goes to the next task, if there is one."""
    turns = Turns(1)
    for _ in range(3):
        try:
            async with turns.turn(GREEDY):
                raise ValueError
        except ValueError:
            assert turns.taken == 0
