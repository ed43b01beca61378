"""Asks the services for panels, and keeps the answers: single flights in front of batchers in front of guards."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from uuid import UUID

from services.gateway.batching import Batcher, BatchPolicy
from services.gateway.breaker import BreakerPolicy
from services.gateway.dashboard import Answer
from services.gateway.flights import Flight, Flights
from services.gateway.guard import Guard, GuardPolicy
from services.gateway.last_known_good import LastKnownGood
from services.gateway.panel_cache import PanelCache
from services.gateway.panels import PANELS, Panel, Service
from services.gateway.settings import Settings
from services.gateway.upstream import Upstream


class Fetcher:
    """One batcher a panel, one guard a service. What they bring is kept in memory, and as last known good."""

    def __init__(
        self,
        upstreams: Mapping[Service, Upstream],
        cache: PanelCache,
        known_good: LastKnownGood,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._known_good = known_good
        guarded = _guard_policy(settings)
        self._guards = {name: Guard(name, upstream, guarded, clock) for name, upstream in upstreams.items()}
        policy = BatchPolicy(settings.batch_calls, settings.batch_patience_s)
        self._batchers = {
            panel.name: Batcher(panel.name, partial(self._guards[panel.service].ask, panel), policy, clock)
            for panel in PANELS
        }
        self._flights = Flights({name: batcher.begin for name, batcher in self._batchers.items()}, self._keep, clock)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being asked, nor waits to be."""
        return not self._flights and all(batcher.is_idle for batcher in self._batchers.values())

    def fetch(
        self, panels: Sequence[Panel], user_id: str, budget_s: float, *, anew: bool = False
    ) -> list[tuple[Panel, Flight]]:
        """Flights to join that bring a user's panels, for a caller who has so much time; `anew` joins none that has
        left before this call."""
        fill, context = self._cache.begin(user_id), copy_context()
        to = self._flights.to
        return [(panel, to(panel.name, fill, context, min(budget_s, panel.timeout_s), anew=anew)) for panel in panels]

    def close(self) -> None:
        """End what goes on beside the callers."""
        for guard in self._guards.values():
            guard.close()

    def drop(self, user_id: UUID, panels: Collection[str] | None = None) -> None:
        """These panels of the user (all of them by default) have changed: what is under way is joined no more."""
        self._flights.drop(str(user_id), panels)

    def drop_all(self) -> None:
        """Anything may have changed: what is under way is joined no more."""
        self._flights.drop_all()

    def _keep(self, flight: Flight, answer: Answer) -> None:
        if (data := answer.data) is not None:
            self._cache.put(flight.fill, flight.panel, data)
            self._known_good.remember(flight.panel, flight.user_id, data, self._cache.age_s(flight.fill))


def _guard_policy(settings: Settings) -> GuardPolicy:
    return GuardPolicy(
        breaker=BreakerPolicy(
            window_s=settings.breaker_window_s,
            min_calls=settings.breaker_min_calls,
            error_rate=settings.breaker_error_rate,
            open_s=settings.breaker_open_s,
            probes=settings.breaker_probes,
        ),
        most_calls=settings.bulkhead_calls,
        slow_share=settings.breaker_slow_share,
        hedge_min_s=settings.hedge_min_s,
        retry_share=settings.retry_share,
        max_panel_bytes=settings.max_panel_bytes,
    )
