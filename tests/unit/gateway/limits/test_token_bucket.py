"""How turns are given out."""

from services.gateway.limits.token_bucket import TokenBucket


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
