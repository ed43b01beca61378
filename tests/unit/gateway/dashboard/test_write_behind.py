"""Panels on their way to Redis."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.dashboard.write_behind import Key, PanelRead, WriteBehindQueue
from tests.support.gateway.declared import PANELS
from tests.support.virtual import Clock, run_virtually

NAMES = [panel.name for panel in PANELS]
KEY: Key = ("orders", "1")
PUTS = st.tuples(st.sampled_from(["1", "2"]), st.integers(0, 50), st.sets(st.sampled_from(NAMES), min_size=1))
STEPS = st.lists(PUTS | PUTS | PUTS | st.sampled_from(["take", "written"]), max_size=60)


def read(asked: float) -> PanelRead:
    return PanelRead(asked, int(asked * 1000), b"%d" % asked)


def put(unwritten: WriteBehindQueue, user_id: str, asked: float, panels: Sequence[str] = ("orders",)) -> int:
    return unwritten.put(user_id, asked, int(asked * 1000), dict.fromkeys(panels, b"%d" % asked))


@given(STEPS)
def test_it_never_goes_back(steps: list[tuple[str, int, set[str]] | str]) -> None:
    """Whatever order reads come in, of whatever panels, and while others are being written: what is known, and what is
    written, is what was asked for last."""

    async def run(_: Clock) -> None:
        unwritten = WriteBehindQueue(10)
        waiting: dict[Key, int] = {}
        taken: dict[Key, int] = {}
        for step in steps:
            if step == "take" and waiting:
                queued = dict(await unwritten.take(0.5))
                assert queued == {key: read(asked) for key, asked in waiting.items()}
                waiting, taken = {}, waiting
                assert len(unwritten) == 0
            elif step == "written":
                unwritten.written()
                taken = {}
            elif not isinstance(step, str):
                user_id, asked, panels = step
                assert put(unwritten, user_id, asked, sorted(panels)) == 0
                for key in ((panel, user_id) for panel in panels):
                    waiting[key] = max(asked, waiting.get(key, 0))
            known = {key: max(waiting.get(key, 0), taken.get(key, 0)) for key in waiting | taken}
            for key in ((panel, user_id) for panel in NAMES for user_id in ("1", "2")):
                assert unwritten.get(key) == (read(known[key]) if key in known else None)

    run_virtually(run)


def test_too_many_users_cost_those_who_waited_longest() -> None:
    """It is said how many panels that were."""
    unwritten = WriteBehindQueue(3)
    lost = [put(unwritten, str(number), number, NAMES[: number + 1]) for number in range(4)]
    assert lost == [0, 0, 0, 1]
    assert put(unwritten, "4", 4) == 2
    assert len(unwritten) == 3 + 4 + 1
    assert unwritten.get(("user", "0")) is None
    assert put(unwritten, "4", 5, NAMES) == 0, "it has its place already"


def test_one_user_whose_panels_are_read_again_and_again_takes_no_more_room() -> None:
    """Together or one at a time."""
    for panels in ([NAMES], [[name] for name in NAMES]):
        unwritten = WriteBehindQueue(3)
        for asked in range(1000):
            put(unwritten, "1", asked, panels[asked % len(panels)])
            assert len(unwritten) <= 3 * len(NAMES)


def test_what_is_being_written_is_still_known() -> None:
    """Until it is written; and it can be forgotten at any time."""

    async def run(_: Clock) -> None:
        unwritten = WriteBehindQueue(3)
        put(unwritten, "1", 1)
        assert list(await unwritten.take(0.5)) == [(KEY, read(1))]
        assert unwritten.get(KEY) == read(1)
        unwritten.written()
        assert unwritten.get(KEY) is None
        put(unwritten, "1", 2)
        unwritten.forget("1")
        assert unwritten.get(KEY) is None

    run_virtually(run)


@pytest.mark.parametrize(("users", "seconds"), [(1, 0.5), (4, 0.5), (5, 0)], ids=["one", "some", "half of the queue"])
def test_writes_gather_for_a_while(users: int, seconds: float) -> None:
    """Unless the queue is half full."""

    async def run(clock: Clock) -> None:
        unwritten, began = WriteBehindQueue(10), clock()
        for number in range(users):
            put(unwritten, str(number), 1)
        assert len(list(await unwritten.take(0.5))) == users
        assert clock() - began == pytest.approx(seconds)

    run_virtually(run)
