"""Asks the services for all panels of a dashboard at once, and makes the best of what comes back in time."""

import time
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from services.gateway import metrics
from services.gateway.dashboard import Answer, Dashboard, Remembered, assemble
from services.gateway.departure import Departure
from services.gateway.errors import NoPanelAvailable, UserNotFound
from services.gateway.fetcher import Fetcher
from services.gateway.gathering import Gathering
from services.gateway.last_known_good import LastKnownGood
from services.gateway.panel_cache import PanelCache
from services.gateway.panel_spans import PanelSpans
from services.gateway.panels import Panel
from services.gateway.settings import Settings
from shared import clock, tracing
from shared.tracing import Kind

RECALL_SHARE = 0.2
"""The part of a short budget that is kept for reading what was known last."""


class Dashboards:
    """Reads dashboards: fresh where the services answer in time, else as they were last known."""

    def __init__(
        self,
        cache: PanelCache,
        fetcher: Fetcher,
        known_good: LastKnownGood,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._fetcher = fetcher
        self._known_good = known_good
        self._recall_s = settings.redis_timeout_s
        self._watch_after_s = settings.watch_client_after_s
        self._clock = clock

    async def read(
        self,
        user_id: UUID,
        panels: Sequence[Panel],
        budget_s: float,
        *,
        anew: bool = False,
        departure: Departure | None = None,
    ) -> tuple[Dashboard, Mapping[str, float]]:
        """The dashboard within the budget, and how many seconds each panel took.

        `anew` takes no answer to a question that was asked before. Raises `UserNotFound`, `NoPanelAvailable`, or
        `ClientGone` when the client departs meanwhile.
        """
        recall_s = recall_time(budget_s, self._recall_s)
        gathering = Gathering(self._watch_after_s, departure, self._clock)
        patience_s = budget_s - recall_s
        key = str(user_id)
        spans = PanelSpans(trace) if (trace := tracing.recorded()) else None
        dashboard = None
        try:
            asked = panels if anew else self._recall_fresh(gathering, panels, key)
            if asked:
                flights = self._fetcher.fetch(asked, key, patience_s, anew=anew)
                if spans:
                    spans.asked(flights)
                for panel, flight in flights:
                    gathering.expect(flight, gathering.began + min(patience_s, panel.timeout_s))
                await gathering.wait()
            answers = {panel.name: gathering.answers[panel.name] for panel in panels}
            failed = [name for name, answer in answers.items() if answer.data is None]
            if any(answers[name].user_missing for name in failed):
                raise UserNotFound
            remembered = await self._recall(user_id, failed, recall_s) if failed else {}
            dashboard = assemble(user_id, clock.now(), answers, remembered)
            self._count(dashboard)
            if failed and dashboard.is_empty:
                raise NoPanelAvailable(dashboard.panels)
            return dashboard, gathering.seconds
        finally:
            if spans:
                spans.send(gathering, dashboard)

    async def _recall(self, user_id: UUID, panels: Sequence[str], recall_s: float) -> Mapping[str, Remembered]:
        with tracing.span("recall", Kind.CLIENT, {"db.system.name": "redis"}):
            return await self._known_good.recall(user_id, panels, recall_s)

    def _recall_fresh(self, gathering: Gathering, panels: Sequence[Panel], user_id: str) -> list[Panel]:
        """Puts what is known and unchanged; returns the panels that must be asked for."""
        asked = []
        for panel in panels:
            if known := self._cache.get(panel.name, user_id):
                gathering.put(panel.name, Answer(known.data, age_ms=known.age_ms))
            else:
                asked.append(panel)
        return asked

    def _count(self, dashboard: Dashboard) -> None:
        counts = metrics.PANELS.counts
        for name, view in dashboard.panels.items():
            counts[name, view.status, view.error.code if view.error else ""] += 1


def recall_time(budget_s: float, longest_s: float) -> float:
    """The part of the budget that is not spent on asking the services."""
    return min(longest_s, budget_s * RECALL_SHARE)
