"""Reads all panels of a dashboard concurrently, and assembles the ones that arrive in time."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.gateway import metrics
from services.gateway.dashboard.awaited_wait import AwaitedPanelWait, ClientDisconnected, DisconnectWatcher
from services.gateway.dashboard.models import Dashboard, NoPanelAvailable, Remembered, assemble
from services.gateway.dashboard.reader import PanelReader
from services.gateway.dashboard.spans import PanelSpans
from services.gateway.dashboard.stale_store import StaleStore
from services.gateway.dashboard.wait import PanelWait
from services.gateway.errors import UserNotFound
from services.gateway.panels import Panel
from services.gateway.tuning import Tuning
from shared import clock
from shared.observability import telemetry, tracing
from shared.observability.tracing import Kind

RECALL_SHARE = 0.2
"""The part of a short budget that is reserved for reading last known good values."""


class DashboardService:
    """Reads dashboards: fresh if the services respond in time, otherwise last known good."""

    def __init__(self, reader: PanelReader, stale: StaleStore, tuning: Tuning) -> None:
        self._reader = reader
        self._stale = stale
        self._recall_s = tuning.redis_timeout_s
        self._watch_after_s = tuning.watch_client_after_s

    async def read(
        self,
        user_id: UUID,
        panels: tuple[Panel, ...],
        budget_s: float,
        *,
        no_cache: bool = False,
        watcher: DisconnectWatcher | None = None,
        answered: PanelWait | None = None,
    ) -> tuple[Dashboard, Mapping[str, float]]:
        """Return the dashboard within the budget, and how many seconds each panel took.

        `no_cache` reads from the services again; `answered` is a wait that already has all results. Raises
        `UserNotFound`, `NoPanelAvailable`, or `ClientDisconnected` if the client disconnects.
        """
        recall_s = recall_time(budget_s, self._recall_s)
        spans = PanelSpans(trace) if (trace := tracing.recorded()) else None
        wait = answered or AwaitedPanelWait(self._reader.timers, budget_s - recall_s, watcher, self._watch_after_s)
        dashboard = None
        try:
            if isinstance(wait, AwaitedPanelWait):
                await self._wait_for(wait, panels, user_id, spans, no_cache=no_cache)
            dashboard = await self._assembled(user_id, panels, wait, recall_s)
            return dashboard, wait.seconds
        finally:
            if spans:
                spans.send(wait, dashboard)

    async def _wait_for(
        self,
        wait: AwaitedPanelWait,
        panels: tuple[Panel, ...],
        user_id: UUID,
        spans: PanelSpans | None,
        *,
        no_cache: bool,
    ) -> None:
        reads = self._reader.read(wait, panels, str(user_id), telemetry.origin(), no_cache=no_cache)
        if spans:
            spans.asked(reads)
        await wait.wait()
        if wait.is_given_up:
            raise ClientDisconnected

    async def _assembled(self, user_id: UUID, panels: Sequence[Panel], wait: PanelWait, recall_s: float) -> Dashboard:
        answers = {panel.name: wait.answers[panel.name] for panel in panels}
        failed = [name for name, answer in answers.items() if answer.data is None]
        if any(answers[name].user_missing for name in failed):
            raise UserNotFound
        remembered = await self._recall(user_id, failed, recall_s) if failed else {}
        dashboard = assemble(user_id, clock.now(), answers, remembered)
        counts = metrics.PANELS.counts
        for name, view in dashboard.panels.items():
            counts[name, view.status, view.error.code if view.error else ""] += 1
        if failed and dashboard.is_empty:
            raise NoPanelAvailable(dashboard.panels)
        return dashboard

    async def _recall(self, user_id: UUID, panels: Sequence[str], recall_s: float) -> Mapping[str, Remembered]:
        with tracing.span("recall", Kind.CLIENT, {"db.system.name": "redis"}):
            return await self._stale.recall(user_id, panels, recall_s)


def recall_time(budget_s: float, longest_s: float) -> float:
    """Return the part of the budget that is not spent on calling the services."""
    return min(longest_s, budget_s * RECALL_SHARE)
