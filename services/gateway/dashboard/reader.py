"""Reads panels from the services and stores them: single flight in front of batching in front of calls."""

import time
from collections.abc import Callable, Mapping

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
        self.calls = {
            name: ServiceCalls(name, upstream, settings.bulkhead_calls, tuning, self.timers, clock)
            for name, upstream in upstreams.items()
        }
        self._batchers = {name: Batcher(calls, tuning.batch_calls) for name, calls in self.calls.items()}
        self.in_flight = SingleFlight(self._batchers, self._keep, clock)

    @property
    def is_idle(self) -> bool:
        """Whether no read is in flight or waiting."""
        return not self.in_flight and all(batcher.is_idle for batcher in self._batchers.values())

    def read(
        self, wait: PanelWait, panels: tuple[Panel, ...], user_id: str, origin: Origin, *, no_cache: bool = False
    ) -> Mapping[str, InFlightRead]:
        """Give a user's panels to `wait`: those in memory at once, others when they arrive. Returns the reads that it
        waits for, by panel; empty if all are known.

        With `no_cache`, it joins no read that was requested before this call.
        """
        missing = panels if no_cache else self._unknown(wait, panels, user_id)
        if not missing:
            return {}
        reads = self.in_flight.reads(missing, self._cache.begin(user_id), wait.budget_s, origin, no_cache=no_cache)
        wait.expect(missing, reads)
        return reads

    def close(self) -> None:
        """Stop the background work."""
        for calls in self.calls.values():
            calls.close()

    def _unknown(self, wait: PanelWait, panels: tuple[Panel, ...], user_id: str) -> tuple[Panel, ...]:
        """Put cached panels; return the panels that must be read."""
        missing = []
        for panel in panels:
            if known := self._cache.get(panel.name, user_id):
                data, age_ms = known
                wait.put(panel.name, Answer(data, age_ms=age_ms))
            else:
                missing.append(panel)
        return panels if len(missing) == len(panels) else tuple(missing)

    def _keep(self, read: InFlightRead) -> None:
        found = {panel: answer.data for panel, answer in read.answers.items() if answer.data is not None}
        if found:
            self._cache.put(read.mark, found)
            self._stale.remember(read.user_id, found, read.mark.at)
