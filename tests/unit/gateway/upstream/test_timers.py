"""One timer for all who wait, on a clock of its own."""

from collections.abc import Callable
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.upstream.timers import GRAIN_S, Timers
from tests.support.virtual import Clock, pass_time, run_virtually

LOOKS = st.lists(st.floats(0, 10), min_size=1, max_size=4).map(sorted)


class Waiter:
    """Wants to be looked at at these times, one after the other; keeps when it was. After the last it is removed."""

    def __init__(self, timers: Timers, times: list[float]) -> None:
        self._timers = timers
        self._times = list(times)
        self.due = self._times.pop(0)
        self.looked: list[float] = []
        self.then: Callable[[], None] = lambda: None

    def look(self, now: float) -> None:
        self.looked.append(now)
        self.then()
        if self._times:
            self.due = self._times.pop(0)
        else:
            self._timers.remove(self)


@given(st.lists(LOOKS, min_size=1, max_size=8))
@settings(deadline=None)
def test_each_is_looked_at_when_it_is_due(wanted: list[list[float]]) -> None:
    """Not earlier than the clock can tell, not later, and however many others wait; then nothing is left."""

    async def run(clock: Clock) -> None:
        began = clock()
        timers = Timers(clock)
        waiters = [Waiter(timers, [began + at for at in times]) for times in wanted]
        for waiter in waiters:
            timers.add(waiter)
        await pass_time(11)
        for waiter, times in zip(waiters, wanted, strict=True):
            assert len(waiter.looked) == len(times)
            for looked, at in zip(waiter.looked, times, strict=True):
                assert began + at <= looked <= began + at + 2 * GRAIN_S
        assert len(timers) == 0

    run_virtually(run)


def test_one_that_is_due_first_may_come_last() -> None:
    """The timer is set anew for it."""

    async def run(clock: Clock) -> None:
        timers, began = Timers(clock), clock()
        late, soon = Waiter(timers, [began + 5]), Waiter(timers, [began + 1])
        timers.add(late)
        timers.add(soon)
        await pass_time(2)
        assert (len(late.looked), len(soon.looked)) == (0, 1)
        await pass_time(4)
        assert len(late.looked) == 1

    run_virtually(run)


def test_one_that_was_removed_is_not_looked_at() -> None:
    """Nor one that another removes, though both are due at the same moment."""

    async def run(clock: Clock) -> None:
        timers, at = Timers(clock), clock() + 1
        gone, first, second = (Waiter(timers, [at]) for _ in range(3))
        for waiter in (gone, first, second):
            timers.add(waiter)
        first.then = lambda: timers.remove(second)
        timers.remove(gone)
        timers.remove(gone)
        await pass_time(2)
        assert (gone.looked, second.looked) == ([], [])
        assert len(first.looked) == 1

    run_virtually(run)


def test_one_may_be_added_while_another_is_looked_at() -> None:
    """It waits for its own time."""

    async def run(clock: Clock) -> None:
        timers, began = Timers(clock), clock()
        first, second, far = Waiter(timers, [began + 1]), Waiter(timers, [began + 2]), Waiter(timers, [began + 9])
        first.then = lambda: timers.add(second)
        timers.add(first)
        timers.add(far)
        await pass_time(1.5)
        assert second.looked == []
        await pass_time(1)
        assert len(second.looked) == 1
        assert far.looked == []

    run_virtually(run)


def test_one_that_is_never_due_sets_no_timer() -> None:
    """And is looked at by nobody; others are."""

    async def run(clock: Clock) -> None:
        timers, began = Timers(clock), clock()
        never, soon = Waiter(timers, [inf]), Waiter(timers, [began + 1, inf])
        timers.add(never)
        timers.add(soon)
        await pass_time(3)
        assert never.looked == []
        assert len(soon.looked) == 1

    run_virtually(run)
