"""How many requests may be in hand."""

from typing import Any

from services.gateway.admission.overload import Overload
from services.gateway.settings import Settings

LATE_S, VERY_LATE_S, ON_TIME_S = 0.06, 0.25, 0.0


def overload(**settings: Any) -> Overload:
    told: dict[str, Any] = {
        "environment": "development",
        "shed_most_in_hand": 1000,
        "shed_least_in_hand": 10,
        "shed_lag_s": 0.05,
    }
    return Overload(Settings(**{**told, **settings}))


def test_a_loop_that_is_late_twice_takes_less_in_hand() -> None:
    """Once may be chance. It goes down from what was in hand, not from what was allowed, and not below the least."""
    load = overload()
    load.in_hand = 100
    load.adjust(LATE_S)
    assert load.limit == 1000
    load.adjust(LATE_S)
    assert load.limit == 80
    for _ in range(50):
        load.adjust(LATE_S)
    assert load.limit == 10


def test_the_later_the_less() -> None:
    """Five times as late as it may be: a fifth."""
    load = overload()
    load.in_hand = 100
    load.adjust(VERY_LATE_S)
    load.adjust(VERY_LATE_S)
    assert load.limit == 20


def test_a_loop_on_time_takes_more_again() -> None:
    """While what is allowed is made use of; up to the most."""
    load = overload()
    load.in_hand = 20
    load.adjust(LATE_S)
    load.adjust(LATE_S)
    low = load.limit
    load.in_hand = 0
    load.adjust(ON_TIME_S)
    assert load.limit == low
    for _ in range(200):
        load.in_hand = int(load.limit)
        load.adjust(ON_TIME_S)
    assert load.limit == 1000


def test_what_can_wait_is_refused_first() -> None:
    """Batches, uploads and downloads at half of what is allowed."""
    load = overload()
    load.in_hand = 500
    assert load.is_full("batch")
    assert load.is_full("upload")
    assert not load.is_full("read")
    load.in_hand = 1000
    assert load.is_full("read")


def test_nothing_is_shed_where_shedding_is_off() -> None:
    """However late the loop."""
    load = overload(shed_most_in_hand=0)
    load.in_hand = 10**9
    assert not load.is_full("batch")
