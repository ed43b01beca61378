"""How many calls a service gets at a time."""

import pytest
from prometheus_client import REGISTRY

from services.gateway.upstream.bulkhead import Bulkhead
from services.gateway.upstream.errors import Overloaded


def test_one_too_many_is_refused() -> None:
    """The slots are all there are, and each that is given back can be held again."""
    bulkhead = Bulkhead("example", most=2)
    bulkhead.take()
    assert not bulkhead.is_full
    bulkhead.take()
    for _ in range(3):
        assert bulkhead.is_full
        with pytest.raises(Overloaded):
            bulkhead.take()
    bulkhead.give_back()
    bulkhead.take()
    assert bulkhead.is_full
    bulkhead.give_back()
    bulkhead.give_back()
    assert not bulkhead.is_full


def test_metrics_say_how_much_is_held_and_refused() -> None:
    """Of each service by its name."""
    refused = {"service": "measured", "code": "overloaded"}
    before = REGISTRY.get_sample_value("gateway_calls_refused_total", refused) or 0
    bulkhead = Bulkhead("measured", most=1)
    bulkhead.take()
    with pytest.raises(Overloaded):
        bulkhead.take()
    assert REGISTRY.get_sample_value("gateway_calls_in_flight", {"service": "measured"}) == 1
    assert REGISTRY.get_sample_value("pool_in_use", {"pool": "panel_calls_measured"}) == 1
    assert REGISTRY.get_sample_value("pool_limit", {"pool": "panel_calls_measured"}) == 1
    assert REGISTRY.get_sample_value("gateway_calls_refused_total", refused) == before + 1
