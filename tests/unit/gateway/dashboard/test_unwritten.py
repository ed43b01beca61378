"""Panels on their way to Redis."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from services.gateway.dashboard.unwritten import Key, Read, Unwritten
from tests.support.virtual import Clock, run_virtually

KEY: Key = ("orders", "1")


def read(asked: float) -> Read:
    return Read(asked, int(asked * 1000), Raw(b"%d" % asked))


@given(st.lists(st.integers(0, 50) | st.none(), max_size=40))
def test_it_never_goes_back(steps: list[int | None]) -> None:
    """Whatever order reads come in, and however often what waits is being written: it is the one asked for last."""

    async def run(_: Clock) -> None:
        unwritten, newest = Unwritten(10), None
        for asked in steps:
            if asked is None:
                if len(unwritten):
                    await unwritten.take(0.5)
            else:
                assert unwritten.put(KEY, read(asked))
                newest = asked if newest is None else max(asked, newest)
            assert unwritten.get(KEY) == (None if newest is None else read(newest))

    run_virtually(run)


def test_too_many_cost_the_oldest() -> None:
    """And it is said so."""
    unwritten = Unwritten(3)
    kept = [unwritten.put(("orders", str(number)), read(number)) for number in range(5)]
    assert kept == [True, True, True, False, False]
    assert len(unwritten) == 3
    assert unwritten.get(("orders", "0")) is None


def test_what_is_being_written_is_still_known() -> None:
    """Until it is written; and it can be forgotten at any time."""

    async def run(_: Clock) -> None:
        unwritten = Unwritten(3)
        unwritten.put(KEY, read(1))
        assert await unwritten.take(0.5) == [(KEY, read(1))]
        assert unwritten.get(KEY) == read(1)
        unwritten.written()
        assert unwritten.get(KEY) is None
        unwritten.put(KEY, read(2))
        unwritten.forget(KEY)
        assert unwritten.get(KEY) is None

    run_virtually(run)
