"""Asks the services for all panels of a dashboard at once, and makes the best of what comes back in time."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.gateway import metrics
from services.gateway.dashboard import Answer, Dashboard, assemble
from services.gateway.departure import Departure
from services.gateway.errors import NoPanelAvailable, UserNotFound
from services.gateway.fetcher import Fetcher
from services.gateway.gathering import Gathering
from services.gateway.last_known_good import LastKnownGood
from services.gateway.panel_cache import Fill, PanelCache
from services.gateway.panels import Panel
from services.gateway.settings import Settings
from shared import clock

RECALL_SHARE = 0.2
"""The part of a short budget that is kept for reading what was known last."""


class Dashboards:
    """Reads dashboards: fresh where the services answer in time, else as they were last known."""

    def __init__(self, cache: PanelCache, fetcher: Fetcher, known_good: LastKnownGood, settings: Settings) -> None:
        self._cache = cache
        self._fetcher = fetcher
        self._known_good = known_good
        self._recall_s = settings.redis_timeout_s
        self._watch_after_s = settings.watch_client_after_s

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
        gathering = Gathering(self._watch_after_s, departure)
        ends = gathering.began + budget_s - recall_s
        key = str(user_id)
        fills: list[Fill] = []
        for panel in panels:
            deadline = min(ends, gathering.began + panel.timeout_ms / 1000)
            if fill := self._begin(gathering, panel, key, deadline, anew):
                fills.append(fill)
        await gathering.wait()
        answers = {panel.name: gathering.answers[panel.name] for panel in panels}
        if any(answer.user_missing for answer in answers.values()):
            raise UserNotFound
        self._keep(user_id, fills, answers)
        failed = [name for name, answer in answers.items() if answer.data is None]
        remembered = await self._known_good.recall(user_id, failed, recall_s) if failed else {}
        dashboard = assemble(user_id, clock.now(), answers, remembered)
        self._count(dashboard)
        if dashboard.is_empty:
            raise NoPanelAvailable
        return dashboard, gathering.seconds

    def _begin(self, gathering: Gathering, panel: Panel, user_id: str, deadline: float, anew: bool) -> Fill | None:
        """One panel's step: what is known, or else ask, or join those who do; then what is learned may be kept."""
        if not anew and (known := self._cache.get(panel.name, user_id)):
            gathering.put(panel.name, Answer(known.data, age_ms=known.age_ms))
            return None
        flight = self._fetcher.fetch(panel, user_id, anew=anew)
        gathering.expect(flight, deadline)
        return self._cache.begin(panel.name, user_id, flight.began)

    def _keep(self, user_id: UUID, fills: Sequence[Fill], answers: Mapping[str, Answer]) -> None:
        for fill in fills:
            if (data := answers[fill.panel].data) is not None:
                self._cache.put(fill, data)
                self._known_good.remember(fill.panel, user_id, data)

    def _count(self, dashboard: Dashboard) -> None:
        counts = metrics.PANELS.counts
        for name, view in dashboard.panels.items():
            counts[name, view.status, view.error.code if view.error else ""] += 1


def recall_time(budget_s: float, longest_s: float) -> float:
    """The part of the budget that is not spent on asking the services."""
    return min(longest_s, budget_s * RECALL_SHARE)
