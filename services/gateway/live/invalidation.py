"""Changed data is no longer served: neither from the cache, nor by joining an earlier read."""

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from services.gateway.dashboard.cache import PanelCache
from services.gateway.live.feed import Change


class UnderWay(Protocol):
    """The reads in flight."""

    def drop(self, user_id: UUID, panels: Collection[str] | None = None) -> None: ...

    def drop_all(self) -> None: ...


class Invalidation:
    """Listens to the live feed, and is notified by the routes of writes through this gateway."""

    def __init__(self, cache: PanelCache, under_way: UnderWay) -> None:
        self._cache = cache
        self._under_way = under_way

    def drop(self, user_id: UUID, panels: Collection[str] | None = None) -> None:
        """These panels of the user (all by default) have changed."""
        self._cache.drop(str(user_id), panels)
        self._under_way.drop(user_id, panels)

    def feed_came(self) -> None:
        self._cache.trust()
        self._under_way.drop_all()  # changes while the feed was disconnected may be missing from them

    def feed_lost(self) -> None:
        self._cache.distrust()
        self._under_way.drop_all()

    def changed(self, change: Change) -> None:
        self.drop(change.user_id, change.panels)

    def changed_unreadably(self) -> None:
        self._cache.clear("unreadable")
        self._under_way.drop_all()
