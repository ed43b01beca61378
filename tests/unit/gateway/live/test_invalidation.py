"""What a message of the live feed does to what is kept, and to what is under way."""

from collections.abc import Callable, Collection
from typing import cast
from uuid import UUID

import pytest

from services.gateway.dashboard.cache import PanelCache
from services.gateway.live.feed import Change
from services.gateway.live.invalidation import Invalidation
from services.gateway.upstream.single_flight import SingleFlight
from tests.support.gateway.declared import PANELS

ADA = UUID(int=1)


class InFlight:
    """Keeps what was dropped."""

    def __init__(self) -> None:
        self.dropped: list[object] = []

    def drop(self, user_id: str, panels: Collection[str] | None = None) -> None:
        self.dropped.append((user_id, panels))

    def drop_all(self) -> None:
        self.dropped.append("everything")


@pytest.mark.parametrize(
    "happens",
    [Invalidation.changed_unreadably, Invalidation.feed_lost, Invalidation.feed_came],
    ids=["unreadable", "feed lost", "feed came"],
)
def test_where_anything_may_have_changed_nothing_in_flight_is_joined(happens: Callable[[Invalidation], None]) -> None:
    """Nor is kept what was being read, or served what was read before."""
    cache, in_flight = PanelCache(PANELS, 10**6, 30), InFlight()
    invalidation = Invalidation(cache, cast("SingleFlight", in_flight))
    invalidation.feed_came()
    fill = cache.begin(str(ADA))
    in_flight.dropped.clear()
    happens(invalidation)
    assert in_flight.dropped == ["everything"]
    assert not cache.put(fill, {"orders": b"[]"})


def test_a_change_drops_what_it_names() -> None:
    """From memory, and of what is under way."""
    cache, in_flight = PanelCache(PANELS, 10**6, 30), InFlight()
    invalidation = Invalidation(cache, cast("SingleFlight", in_flight))
    invalidation.feed_came()
    cache.put(cache.begin(str(ADA)), {"orders": b"[]"})
    invalidation.changed(Change(ADA, ("orders",), "order.created", b""))
    assert cache.get("orders", str(ADA)) is None
    assert in_flight.dropped[-1] == (str(ADA), ("orders",))
