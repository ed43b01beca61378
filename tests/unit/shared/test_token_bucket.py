"""How turns are given out."""

from shared.token_bucket import TokenBucket


def test_a_burst_is_at_once_and_the_rest_in_order() -> None:
    """Three at once, then one every 0.2 s, each later than the one before."""
    pace = TokenBucket(0.2, 3)
    assert [round(pace.turn(100.0), 3) for _ in range(6)] == [0, 0, 0, 0.2, 0.4, 0.6]


def test_a_pause_gives_a_burst_back_and_no_more() -> None:
    pace = TokenBucket(0.2, 2)
    for _ in range(4):
        pace.turn(0.0)
    assert [round(pace.turn(1000.0), 3) for _ in range(3)] == [0, 0, 0.2]


def test_over_time_no_more_than_the_pace() -> None:
    """Whoever asks again at each turn gets five a second, and the burst once."""
    pace = TokenBucket(0.2, 5)
    now, turns = 0.0, 0
    while now < 10:
        now += pace.turn(now)
        turns += 1
    assert 50 <= turns <= 56


def test_whether_a_turn_is_free_is_known_without_taking_it() -> None:
    """Two at once; the next after 0.2 s; after 0.4 s it is as if there had been none."""
    pace = TokenBucket(0.2, 2)
    assert pace.is_full(0)
    assert [pace.turn(0), pace.turn(0)] == [0, 0]
    assert [round(pace.wait_s(now), 3) for now in (0, 0.1, 0.2, 5)] == [0.2, 0.1, 0, 0]
    assert [pace.is_full(now) for now in (0.3, 0.4)] == [False, True]
