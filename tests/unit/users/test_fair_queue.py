"""The order in which work gets a thread, and which work is refused if too much waits."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from services.users.fair_queue import Asker, FairQueue, QueueFull

GREEDY = Asker("eve", "192.0.2.1")


@dataclass
class Work:
    """Work of the queue, which stops at the gate and records the order of the starts."""

    gate: threading.Event = field(default_factory=threading.Event)
    begun: list[str] = field(default_factory=list)

    def of(self, name: str) -> str:
        self.begun.append(name)
        self.gate.wait(60)
        return name


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.gate.set()


class Pool(ThreadPoolExecutor):
    """Records the names of the work that it receives, in order. The order in which threads start with it is random."""

    def __init__(self) -> None:
        super().__init__(2)
        self.given: list[str] = []

    def submit(self, work: Any, /, *args: Any, **more: Any) -> Any:
        if isinstance(work, partial):
            self.given.append(work.args[0])
        return super().submit(work, *args, **more)


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool() as threads:
        yield threads


@pytest.fixture
def queue(pool: Pool) -> FairQueue:
    return FairQueue(pool, threads=2, max_pending=34)


def ask(queue: FairQueue, work: Work, asker: Asker) -> "asyncio.Task[str]":
    return asyncio.create_task(queue.run(asker, partial(work.of, asker.account)))


async def waiting(queue: FairQueue, work: Work, askers: list[Asker]) -> list["asyncio.Task[str]"]:
    tasks = [ask(queue, work, asker) for asker in askers]
    await asyncio.sleep(0)
    return tasks


FLOODS = {
    "one account from one address": [GREEDY] * 40,
    "one account from many addresses": [Asker("eve", f"192.0.2.{number}") for number in range(40)],
    "many accounts from one address": [Asker(f"eve{number}", "192.0.2.1") for number in range(40)],
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_costs_others_nothing(pool: Pool, queue: FairQueue, work: Work, flood: list[Asker]) -> None:
    """Whatever the attempts have in common, 8 others, who come last, are all answered before the rest of the flood."""
    attempts = await waiting(queue, work, flood)
    others = await waiting(queue, work, [Asker(f"ann{number}", f"198.51.100.{number}") for number in range(8)])
    work.gate.set()
    assert await asyncio.gather(*others) == [f"ann{number}" for number in range(8)]
    ended = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(each, QueueFull) for each in ended) == 40 + 8 - 34
    assert pool.given[2:10] == [f"ann{number}" for number in range(8)]


async def test_others_behind_the_address_of_a_flood_are_answered(queue: FairQueue, work: Work) -> None:
    """One account has filled the queue from an address; other accounts at that address replace its attempts."""
    attempts = await waiting(queue, work, [GREEDY] * 40)
    others = await waiting(queue, work, [Asker(f"ann{number}", GREEDY.address) for number in range(8)])
    work.gate.set()
    assert len(await asyncio.gather(*others)) == 8
    ended = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(each, QueueFull) for each in ended) == 14


async def test_the_last_of_equals_is_refused(work: Work) -> None:
    """Unrelated attempts are first come, first served; running work is never cancelled."""
    with ThreadPoolExecutor(1) as threads:
        queue = FairQueue(threads, threads=1, max_pending=2)
        tasks = await waiting(queue, work, [Asker(name, name) for name in "abc"])
        with pytest.raises(QueueFull):
            await tasks[2]
        work.gate.set()
        assert await asyncio.gather(*tasks[:2]) == ["a", "b"]
        assert len(queue) == 0


async def test_an_error_reaches_its_caller_alone(queue: FairQueue) -> None:
    """The error also frees the thread."""

    def fail() -> None:
        raise ZeroDivisionError

    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            await queue.run(GREEDY, fail)
    assert await queue.run(GREEDY, lambda: "well") == "well"
