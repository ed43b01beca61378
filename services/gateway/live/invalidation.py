"""Changed data is no longer served: neither from the cache, nor by joining an earlier read."""

from collections.abc import Collection
from uuid import UUID

from services.gateway.dashboard.cache import PanelCache
from services.gateway.live.feed import Change
from services.gateway.upstream.single_flight import SingleFlight


class Invalidation:
    """Listens to the live feed, and is notified by the routes of writes through this gateway."""

    def __init__(self, cache: PanelCache, in_flight: SingleFlight) -> None:
        self._cache = cache
        self._in_flight = in_flight

    def use(self, in_flight: SingleFlight) -> None:
        """Apply to these reads from now on."""
        self._in_flight = in_flight

    def drop(self, user_id: UUID, panels: Collection[str] | None = None) -> None:
        """These panels of the user (all by default) have changed."""
        user = str(user_id)
        self._cache.drop(user, panels)
        self._in_flight.drop(user, panels)

    def feed_came(self) -> None:
        self._cache.enable()
        self._in_flight.drop_all()  # changes while the feed was disconnected may be missing from them

    def feed_lost(self) -> None:
        self._cache.disable()
        self._in_flight.drop_all()

    def changed(self, change: Change) -> None:
        self.drop(change.user_id, change.panels)

    def changed_unreadably(self) -> None:
        self._cache.clear("unreadable")
        self._in_flight.drop_all()
