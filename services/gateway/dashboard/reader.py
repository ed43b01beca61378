"""Reads panels from the services and stores them: single flight in front of batching in front of calls."""

import time
from collections.abc import Callable, Collection, Mapping
from uuid import UUID

from services.gateway.dashboard.cache import PanelCache
from services.gateway.dashboard.stale_store import StaleStore
from services.gateway.dashboard.wait import PanelWait
from services.gateway.panels import Panel, Service
from services.gateway.settings import Settings, Tuning
from services.gateway.upstream.batching import Batcher
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.resilience import ServiceCalls
from services.gateway.upstream.single_flight import InFlightRead, SingleFlight
from services.gateway.upstream.timers import Timers
from shared.observability.telemetry import Origin


class PanelReader:
    """Results of calls are stored in memory, and as last known good values."""

    def __init__(
        self,
        upstreams: Mapping[Service, Upstream],
        cache: PanelCache,
        stale: StaleStore,
        settings: Settings,
        tuning: Tuning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._stale = stale
        self.timers = Timers(clock)
        self._calls = {
            name: ServiceCalls(name, upstream, settings.bulkhead_calls, tuning, self.timers, clock)
            for name, upstream in upstreams.items()
        }
        self._batchers = {name: Batcher(calls, tuning.batch_calls) for name, calls in self._calls.items()}
        self._flights = SingleFlight(self._batchers, self._keep, clock)

    @property
    def is_idle(self) -> bool:
        """Whether no read is in flight or waiting."""
        return not self._flights and all(batcher.is_idle for batcher in self._batchers.values())

    def read(
        self, wait: PanelWait, panels: tuple[Panel, ...], user_id: str, origin: Origin, *, no_cache: bool = False
    ) -> Mapping[str, InFlightRead]:
        """Give a user's panels to `wait`: those in memory at once, others when they arrive. Returns the reads that it
        waits for, by panel; empty if all are known.

        With `no_cache`, it joins no read that was requested before this call.
        """
        asked = panels if no_cache else self._unknown(wait, panels, user_id)
        if not asked:
            return {}
        reads = self._flights.reads(asked, self._cache.begin(user_id), wait.budget_s, origin, no_cache=no_cache)
        wait.expect(asked, reads)
        return reads

    def close(self) -> None:
        """Stop the background work."""
        for calls in self._calls.values():
            calls.close()

    def drop(self, user_id: UUID, panels: Collection[str] | None = None) -> None:
        """These panels of the user (all by default) have changed: reads in flight can no longer be joined."""
        self._flights.drop(str(user_id), panels)

    def drop_all(self) -> None:
        """Anything may have changed: reads in flight can no longer be joined."""
        self._flights.drop_all()

    def _unknown(self, wait: PanelWait, panels: tuple[Panel, ...], user_id: str) -> tuple[Panel, ...]:
        """Put cached panels; return the panels that must be read."""
        asked = []
        for panel in panels:
            if known := self._cache.get(panel.name, user_id):
                data, age_ms = known
                wait.put(panel.name, Answer(data, age_ms=age_ms))
            else:
                asked.append(panel)
        return panels if len(asked) == len(panels) else tuple(asked)

    def _keep(self, read: InFlightRead) -> None:
        found = {panel: answer.data for panel, answer in read.answers.items() if answer.data is not None}
        if found:
            self._cache.put(read.fill, found)
            self._stale.remember(read.user_id, found, self._cache.age_s(read.fill))
