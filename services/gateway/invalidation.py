"""What has changed is not served any more: not from the cache, and not by joining a question asked before."""

from collections.abc import Callable, Collection
from uuid import UUID

from services.gateway.changes import Change
from services.gateway.panel_cache import PanelCache

DropFlights = Callable[[UUID, Collection[str] | None], None]


class Invalidation:
    """Listens to the live feed, and is told by the routes what went through them."""

    def __init__(self, cache: PanelCache, drop_flights: DropFlights) -> None:
        self._cache = cache
        self._drop_flights = drop_flights

    def drop(self, user_id: UUID, panels: Collection[str] | None = None) -> None:
        """These panels of the user (all by default) have changed."""
        self._cache.drop(str(user_id), panels)
        self._drop_flights(user_id, panels)

    def feed_came(self) -> None:
        self._cache.trust()

    def feed_lost(self) -> None:
        self._cache.distrust()

    def changed(self, change: Change) -> None:
        self.drop(change.user_id, change.panels)

    def changed_unreadably(self) -> None:
        self._cache.clear("unreadable")
