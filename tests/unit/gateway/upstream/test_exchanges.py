"""What is measured of calls to a service, and what is none."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from services.gateway.upstream.errors import BadAnswer, CircuitOpen, Overloaded, Refused, TooLate, Unreachable
from services.gateway.upstream.resilience import Exchanges

PANEL = "a panel of this test"
SLOW_S = 0.6


class Watch:
    """The exchanges of one panel, on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.exchanges = Exchanges(PANEL, lambda: SLOW_S, lambda: self.now)

    def exchange(self, seconds: float, failure: BaseException | None = None) -> None:
        try:
            with self.exchanges.measured(3):
                self.now += seconds
                if failure:
                    raise failure
        except (Exception, asyncio.CancelledError) as raised:
            assert raised is failure  # noqa: PT017  # whatever is raised within comes out

    @property
    def seen(self) -> tuple[float, float]:
        """How many calls were measured, and how many batches."""
        names = ("gateway_panel_seconds_count", "gateway_batch_size_count")
        calls, batches = (REGISTRY.get_sample_value(name, {"panel": PANEL}) for name in names)
        return calls or 0, batches or 0

    def times(self, count: int, seconds: float, failure: BaseException | None = None) -> float:
        """How many of so many were measured."""
        before = self.seen
        for _ in range(count):
            self.exchange(seconds, failure)
        measured = {after - was for after, was in zip(self.seen, before, strict=True)}
        assert len(measured) == 1
        return measured.pop()


@pytest.mark.parametrize("failure", [Overloaded(), CircuitOpen(), Unreachable("refused")], ids=repr)
def test_what_was_not_sent_is_not_measured(failure: Exception) -> None:
    """However often: neither the histograms nor the time of a second attempt know of it."""
    watch = Watch()
    watch.times(100, 0.2)
    assert watch.times(1000, 0.0, failure) == 0
    watch.times(10, 0.2)
    assert watch.exchanges.p95 == pytest.approx(0.2)


@pytest.mark.parametrize("failure", [TooLate("late"), BadAnswer("half"), Refused("status 404")], ids=repr)
def test_a_failure_is_measured_and_says_nothing_of_answers(failure: Exception) -> None:
    """It took place; how long answers take is not known from it."""
    watch = Watch()
    watch.times(100, 0.2)
    assert watch.times(100, 0.001, failure) == 100
    assert watch.exchanges.p95 == pytest.approx(0.2)


def test_what_is_broken_off_counts_as_far_as_it_took_long() -> None:
    """Callers who give up after 10 ms do not make a service of 200 ms fast; one that hangs is seen to be slow."""
    watch = Watch()
    watch.times(100, 0.2)
    assert watch.times(1000, 0.01, asyncio.CancelledError()) == 0
    assert watch.exchanges.p95 == pytest.approx(0.2)
    assert watch.times(100, 0.8, asyncio.CancelledError()) == 100
    assert watch.exchanges.p95 == pytest.approx(0.8)
