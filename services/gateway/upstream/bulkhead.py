"""Limits concurrent calls to one service, so that a slow one cannot take up the whole gateway."""

from services.gateway import metrics
from services.gateway.upstream.errors import Overloaded
from shared.observability.pools import POOLS


class Bulkhead:
    """A semaphore that refuses instead of waiting: callers already wait in the batching queue."""

    def __init__(self, service: str, most: int) -> None:
        self._service = service
        self._most = most
        self._held = 0
        metrics.CALLS_IN_FLIGHT.labels(service).set_function(lambda: self._held)
        POOLS.watch(f"panel_calls_{service}", lambda: self._held, lambda: most)

    @property
    def in_flight(self) -> int:
        return self._held

    @property
    def is_full(self) -> bool:
        return self._held >= self._most

    def take(self) -> None:
        """Hold one slot until it is released. Raises `Overloaded`."""
        if self.is_full:
            metrics.CALLS_REFUSED.labels(self._service, "overloaded").inc()
            raise Overloaded
        self._held += 1

    def give_back(self) -> None:
        self._held -= 1
