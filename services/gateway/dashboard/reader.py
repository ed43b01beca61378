"""Reads panels from the services and stores them: single flight in front of what calls the services."""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from services.gateway.dashboard.cache import PanelCache
from services.gateway.dashboard.stale_store import StaleStore
from services.gateway.dashboard.wait import PanelWait
from services.gateway.panels import Panel, Subject
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.single_flight import InFlightRead, Runner, SingleFlight
from services.gateway.upstream.timers import Timers
from shared.observability.telemetry import Origin


class PanelRunner(Runner, Protocol):
    """Reads the batch panels of a service, or its REST panels."""

    @property
    def is_idle(self) -> bool: ...


class PanelReader:
    """Results of calls are stored in memory, and as last known good values. `runners` are named as `Panel.runner`."""

    def __init__(
        self,
        runners: Mapping[str, PanelRunner],
        cache: PanelCache,
        stale: StaleStore,
        timers: Timers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runners = runners
        self._cache = cache
        self._stale = stale
        self.timers = timers
        self._stores = True
        self.in_flight = SingleFlight(runners, self._keep, clock)

    @property
    def is_idle(self) -> bool:
        """Whether no read is in flight or waiting."""
        return not self.in_flight and all(runner.is_idle for runner in self._runners.values())

    def read(
        self,
        wait: PanelWait,
        panels: tuple[Panel, ...],
        user_id: str,
        origin: Origin,
        *,
        no_cache: bool = False,
        subject: Subject | None = None,
    ) -> Mapping[str, InFlightRead]:
        """Give a user's panels to `wait`: those in memory at once, others when they arrive. Returns the reads that it
        waits for, by panel; empty if all are known.

        With `no_cache`, it joins no read that was requested before this call. `subject`: as services know the user, if
        not by the id alone.
        """
        missing = panels if no_cache else self._unknown(wait, panels, user_id)
        if not missing:
            return {}
        mark = self._cache.begin(user_id)
        reads = self.in_flight.reads(missing, mark, wait.budget_s, origin, no_cache=no_cache, subject=subject)
        wait.expect(missing, reads)
        return reads

    def retire(self) -> None:
        """The catalog has changed: reads in flight are neither joined nor stored any more."""
        self._stores = False
        self.in_flight.drop_all()

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
        if found and self._stores:
            self._cache.put(read.mark, found)
            self._stale.remember(read.user_id, found, read.mark.at)
