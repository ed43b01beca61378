"""What a message of the live feed does to what is kept, and to what is under way."""

from collections.abc import Callable, Collection
from uuid import UUID

import pytest

from services.gateway.dashboard.cache import PanelCache
from services.gateway.live.feed import Change
from services.gateway.live.invalidation import Invalidation

ADA = UUID(int=1)


class UnderWay:
    """Keeps what was dropped."""

    def __init__(self) -> None:
        self.dropped: list[object] = []

    def drop(self, user_id: UUID, panels: Collection[str] | None = None) -> None:
        self.dropped.append((user_id, panels))

    def drop_all(self) -> None:
        self.dropped.append("everything")


@pytest.mark.parametrize(
    "happens",
    [Invalidation.changed_unreadably, Invalidation.feed_lost, Invalidation.feed_came],
    ids=["unreadable", "feed lost", "feed came"],
)
def test_where_anything_may_have_changed_nothing_under_way_is_joined(happens: Callable[[Invalidation], None]) -> None:
    """Nor is kept what was being read, or served what was read before."""
    cache, under_way = PanelCache(10**6, 30), UnderWay()
    invalidation = Invalidation(cache, under_way)
    invalidation.feed_came()
    fill = cache.begin(str(ADA))
    under_way.dropped.clear()
    happens(invalidation)
    assert under_way.dropped == ["everything"]
    assert not cache.put(fill, {"orders": b"[]"})


def test_a_change_drops_what_it_names() -> None:
    """From memory, and of what is under way."""
    cache, under_way = PanelCache(10**6, 30), UnderWay()
    invalidation = Invalidation(cache, under_way)
    invalidation.feed_came()
    cache.put(cache.begin(str(ADA)), {"orders": b"[]"})
    invalidation.changed(Change(ADA, ("orders",), "order.created", b""))
    assert cache.get("orders", str(ADA)) is None
    assert under_way.dropped[-1] == (ADA, ("orders",))
