"""Gathering events into batches, and hints into messages."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import msgspec

from services.worker.analytics import job as analytics
from services.worker.broker.batch_collector import BatchCollector
from services.worker.live_hints import Hint, Hints
from services.worker.notifications import job as notifications
from services.worker.recipients import job as recipients

LONG_S = 60.0


async def gathered(size: int, wait_s: float, count: int) -> list[list[int]]:
    """The batches in which so many items are handed over."""
    batches: list[list[int]] = []

    async def handle(batch: list[int]) -> None:
        batches.append(batch)

    collector = BatchCollector(size, wait_s, handle)
    running = asyncio.create_task(collector.run())
    for item in range(count):
        collector.put(item)
    await collector.drained()
    running.cancel()
    return batches


async def test_a_full_batch_does_not_wait() -> None:
    """What is there is taken as soon as it fills a batch."""
    async with asyncio.timeout(LONG_S):
        assert await gathered(2, 10 * LONG_S, 4) == [[0, 1], [2, 3]]


async def test_the_first_after_a_quiet_while_does_not_wait() -> None:
    """However long a batch may wait, one item alone is handed over at once, and what follows soon gathers."""
    handled: asyncio.Queue[list[int]] = asyncio.Queue()
    collector = BatchCollector[int](3, 10 * LONG_S, handled.put)
    running = asyncio.create_task(collector.run())
    async with asyncio.timeout(LONG_S):
        collector.put(1)
        assert await handled.get() == [1]
        for item in (2, 3, 4):
            assert handled.empty()
            collector.put(item)
            await asyncio.sleep(0)
        assert await handled.get() == [2, 3, 4]
    running.cancel()


async def test_a_batch_that_is_not_full_is_taken_in_time() -> None:
    """The rest is handed over some time after its first, in order."""
    assert await gathered(3, 0.01, 5) == [[0, 1, 2], [3, 4]]


async def test_one_hint_a_user() -> None:
    """What gathers while a hint is being sent becomes one message a user."""
    sent: list[Hint] = []
    free = asyncio.Event()
    users = [uuid4(), uuid4()]
    hints = Hints()

    async def publish(_key: str, body: bytes) -> None:
        sent.append(msgspec.json.decode(body, type=Hint))
        await free.wait()

    hints.publish = publish
    running = asyncio.create_task(hints.run())
    hints.on_done(analytics.job(), users[0])
    while not sent:  # noqa: ASYNC110  one turn of the loop
        await asyncio.sleep(0)
    for job in (analytics.job(), notifications.job(), recipients.job(())) * 3:
        hints.on_done(job, users[1])
    free.set()
    while len(sent) < 2:  # noqa: ASYNC110  likewise
        await asyncio.sleep(0)
    running.cancel()
    assert sent == [Hint(users[0], ["analytics"]), Hint(users[1], ["analytics", "notifications"])]


async def test_hints_without_a_broker_are_lost() -> None:
    """Nobody is delayed, nothing piles up, and the next hint goes out."""
    hints = Hints()
    sent: list[UUID] = []
    running = asyncio.create_task(hints.run())
    hints.on_done(analytics.job(), uuid4())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    async def publish(_key: str, body: bytes) -> None:
        sent.append(msgspec.json.decode(body, type=Hint).user_id)

    hints.publish = publish
    user_id = uuid4()
    hints.on_done(replace(recipients.job(()), panels=("user",)), user_id)
    while not sent:  # noqa: ASYNC110  one turn of the loop
        await asyncio.sleep(0)
    running.cancel()
    assert sent == [user_id]
