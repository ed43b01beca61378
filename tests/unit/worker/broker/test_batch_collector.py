"""Gathering events into batches, and hints into messages."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import msgspec

from services.worker.broker.batch_collector import BatchCollector
from services.worker.live_hints import Hint, Hints
from tests.support.metrics import sample
from tests.support.waiting import eventually
from tests.support.worker.jobs import job_of

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
    """What gathers while hints are being sent becomes one message with a hint for each user."""
    sent: list[Hint | list[Hint]] = []
    free = asyncio.Event()
    users = [uuid4(), uuid4(), uuid4()]
    hints = Hints()

    async def publish(_key: str, body: bytes) -> None:
        sent.append(msgspec.json.decode(body, type=Hint | list[Hint]))
        await free.wait()

    hints.publish = publish
    running = asyncio.create_task(hints.run())
    hints.on_done(job_of("analytics"), users[0])
    while not sent:  # noqa: ASYNC110  one turn of the loop
        await asyncio.sleep(0)
    for job in (job_of("analytics"), job_of("notifications"), job_of("recipients")) * 3:
        hints.on_done(job, users[1])
    hints.on_done(job_of("analytics"), users[2])
    free.set()
    while len(sent) < 2:  # noqa: ASYNC110  likewise
        await asyncio.sleep(0)
    running.cancel()
    both = [Hint(users[1], ["analytics", "notifications"]), Hint(users[2], ["analytics"])]
    assert sent == [Hint(users[0], ["analytics"]), both]


async def test_many_hints_are_sent_in_several_messages() -> None:
    """A message stays small. Those of a message that cannot be sent are lost, and the others are sent."""
    sizes: list[int] = []
    hints = Hints()

    async def publish(_key: str, body: bytes) -> None:
        sizes.append(len(msgspec.json.decode(body, type=list[Hint])))
        if len(sizes) == 1:
            raise ConnectionError

    hints.publish = publish
    lost = sample("worker_hints_lost_total") or 0
    for _ in range(Hints.MAX_IN_MESSAGE + 2):
        hints.on_done(job_of("analytics"), uuid4())
    running = asyncio.create_task(hints.run())
    await eventually(lambda: len(sizes) == 2)
    running.cancel()
    assert sizes == [Hints.MAX_IN_MESSAGE, 2]
    assert sample("worker_hints_lost_total") == lost + Hints.MAX_IN_MESSAGE


async def test_hints_without_a_broker_are_lost() -> None:
    """Nobody is delayed, nothing piles up, and the next hint goes out."""
    hints = Hints()
    sent: list[UUID] = []
    running = asyncio.create_task(hints.run())
    hints.on_done(job_of("analytics"), uuid4())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    async def publish(_key: str, body: bytes) -> None:
        sent.append(msgspec.json.decode(body, type=Hint).user_id)

    hints.publish = publish
    user_id = uuid4()
    hints.on_done(replace(job_of("recipients"), panels=("user",)), user_id)
    while not sent:  # noqa: ASYNC110  one turn of the loop
        await asyncio.sleep(0)
    running.cancel()
    assert sent == [user_id]
