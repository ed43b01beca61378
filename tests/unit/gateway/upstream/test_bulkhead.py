"""How many calls a service gets at a time."""

import pytest

from services.gateway.upstream.bulkhead import Bulkhead
from services.gateway.upstream.errors import Overloaded


def test_one_too_many_is_refused() -> None:
    """The slots are all there are, and each that is given back can be held again."""
    bulkhead = Bulkhead("example", most=2)
    with bulkhead.slot():
        with bulkhead.slot():
            assert bulkhead.is_full
            with pytest.raises(Overloaded), bulkhead.slot():
                pass
        with bulkhead.slot():
            assert bulkhead.is_full
    assert not bulkhead.is_full


def test_a_failure_gives_its_slot_back() -> None:
    """However a call ends."""
    bulkhead = Bulkhead("example", most=1)
    for _ in range(3):
        with pytest.raises(KeyError), bulkhead.slot():
            raise KeyError
    assert not bulkhead.is_full
