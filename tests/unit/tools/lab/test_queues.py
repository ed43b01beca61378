"""The simulation against queueing theory, and the figures against the pages that they are from."""

from math import inf, isclose

import pytest

from tools.lab.scaling.figures import PERFORMANCE, figure
from tools.lab.scaling.queues import drain_time, erlang_c, mean_wait, stay_quantile, wait_quantile
from tools.lab.scaling.simulate import hottest_shard, lose_zone
from tools.lab.scaling.stations import one_station, quantile

MS = 0.001


def test_erlang_c_is_as_in_the_books() -> None:
    """With one server it is the utilisation; two at 0.75 each give 9/14, and ten at 0.8 each give 0.409."""
    assert isclose(erlang_c(1, 0.3), 0.3)
    assert isclose(erlang_c(2, 1.5), 9 / 14)
    assert isclose(erlang_c(10, 8), 0.409, abs_tol=0.001)
    assert erlang_c(2, 2) == 1
    assert mean_wait(2, 1, MS) == wait_quantile(2, 1, MS, 0.99) == stay_quantile(1, MS, 0.99) == drain_time(1, 1) == inf


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.5), (4, 0.7), (8, 0.8)])
def test_the_simulation_agrees_with_the_formula(servers: int, utilisation: float) -> None:
    """A station with one queue is M/M/c: mean wait and its 95th percentile, within a tenth of both and of a service."""
    stays = [visit.took_s for visit in one_station(utilisation, servers, MS, shared=True, seed=3)]
    found = sum(stays) / len(stays) - MS
    assert isclose(found, mean_wait(servers, utilisation, MS), rel_tol=0.1, abs_tol=0.1 * MS)
    if servers == 1:
        assert isclose(quantile(stays, 0.99), stay_quantile(utilisation, MS, 0.99), rel_tol=0.15)


def test_a_figure_is_read_without_its_range() -> None:
    """The median of a cell is read, with its thousands separators. A missing figure is an error, not zero."""
    assert figure(PERFORMANCE, "system", "1,000,000", "gateway") > 10
    assert figure(PERFORMANCE, "system", "1,000,000", "orders") < 10_000, "the CPU, not the number of orders"
    assert figure(PERFORMANCE, "relay", None, "rows/s") > 100
    with pytest.raises(LookupError):
        figure(PERFORMANCE, "system", "1,000,000", "nothing")


def test_one_busy_user_is_a_limit_of_their_own() -> None:
    """More shards distribute many users. A user with half of the load fills one shard alone."""
    even = [1 / 1000] * 1000
    assert hottest_shard(even, 1, seed=1) == pytest.approx(1)
    assert hottest_shard(even, 8, seed=1) < 1.5
    assert hottest_shard([0.5, *(share / 2 for share in even)], 32, seed=1) >= 16


def test_a_lost_zone_is_borne_below_two_thirds() -> None:
    """The other two zones take what they can. Of a higher load a part is refused, and the rest waits in full queues."""
    borne, too_much = lose_zone(0.5, MS, after_s=1), lose_zone(0.95, MS, after_s=1)
    assert borne.refused == 0
    assert too_much.refused > 0
    assert borne.after_s < too_much.after_s < 2 * 256 * MS
