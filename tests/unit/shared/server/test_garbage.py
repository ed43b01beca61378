"""When the garbage collector runs."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from shared.server import garbage
from shared.server.garbage import IDLE_SHARE, REST_S, IdleCollector
from tests.support.waiting import eventually

FRESH, AGED = (100, 0, 0), (100, 1, 0)


@pytest.fixture
def thresholds() -> Iterator[None]:
    """Undoes what a test does to the collector of this process."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class Collections:
    """An idle collector, the time, and how often it has collected."""

    def __init__(self) -> None:
        self.count = 0
        self._collector = IdleCollector(self._collect)
        self._now_s, self._used_s = 1e6, 0.0
        self._collector.look(self._now_s, self._used_s, FRESH)

    def _collect(self) -> None:
        self.count += 1

    def after(self, seconds: float, busy: float = 0.0, counts: tuple[int, int, int] = AGED) -> int:
        """How often it has collected, when the process was busy for that part of so many more seconds."""
        self._now_s += seconds
        self._used_s += seconds * busy
        self._collector.look(self._now_s, self._used_s, counts)
        return self.count


@pytest.mark.usefixtures("thresholds")
def test_the_heap_at_the_start_is_looked_at_no_more() -> None:
    """What is alive then is frozen, garbage is gone before, and a large number of young objects is needed."""
    cycle: list[object] = []
    cycle.append(cycle)
    kept: list[list[object]] = [[] for _ in range(100)]
    del cycle
    garbage.freeze_heap()
    assert gc.get_freeze_count() >= len(kept)
    assert not any(each is kept for each in gc.get_objects())
    assert gc.get_threshold() == (garbage.YOUNG, garbage.MIDDLE, garbage.FULL)


def test_everything_is_collected_in_an_idle_moment() -> None:
    """And not while the process works."""
    collections = Collections()
    assert collections.after(1, busy=2 * IDLE_SHARE) == 0
    assert collections.after(1, busy=IDLE_SHARE / 2) == 1


def test_an_idle_process_that_made_nothing_is_left_alone() -> None:
    """Without objects that have become old there is nothing to find."""
    collections = Collections()
    assert collections.after(1, counts=FRESH) == 0
    assert collections.after(1, counts=(0, 0, 1)) == 1


def test_a_full_collection_is_followed_by_a_rest() -> None:
    """However idle the process is."""
    collections = Collections()
    assert collections.after(1) == 1
    assert collections.after(REST_S / 2) == 1
    assert collections.after(REST_S / 2) == 2


class Node:
    """Garbage that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


async def test_old_garbage_goes_while_the_process_is_idle() -> None:
    """What had survived a young collection before it became garbage."""
    node = Node()
    seen = weakref.ref(node)
    gc.collect(0)
    del node
    gc.collect(0)
    assert seen() is not None
    running = asyncio.create_task(IdleCollector(look_every_s=0.01).run())
    await eventually(lambda: seen() is None)
    running.cancel()
