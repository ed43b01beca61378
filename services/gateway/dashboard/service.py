"""Reads all panels of a dashboard concurrently, and assembles the ones that arrive in time."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from services.gateway import metrics
from services.gateway.dashboard.models import Dashboard, DashboardBatch, NoPanelAvailable, Problem, Remembered, assemble
from services.gateway.dashboard.pending import AwaitedPanelWait, ClientDisconnected, DisconnectWatcher
from services.gateway.dashboard.reader import PanelReader
from services.gateway.dashboard.stale_store import StaleStore
from services.gateway.dashboard.wait import PanelWait, recall_time
from services.gateway.errors import UserNotFound
from services.gateway.panels import Panel, Subject
from services.gateway.settings import Tuning
from services.gateway.upstream.errors import PERSONAL
from services.gateway.upstream.single_flight import InFlightRead
from shared import clock
from shared.errors import DashboardError, problem
from shared.observability import telemetry, tracing
from shared.observability.logs import get_logger
from shared.observability.telemetry import Trace
from shared.observability.tracing import Kind

log = get_logger(__name__)

GIVEN_UP = "ClientGone"


class DashboardService:
    """Reads dashboards: fresh if the services respond in time, otherwise last known good."""

    BATCH_READS_AT_ONCE = 200
    """Concurrent reads for `read_many`: two full requests; further ones wait."""

    def __init__(self, reader: PanelReader, stale: StaleStore, tuning: Tuning) -> None:
        self._reader = reader
        self._stale = stale
        self._recall_s = tuning.redis_timeout_s
        self._watch_after_s = tuning.watch_client_after_s
        self._room = asyncio.Semaphore(self.BATCH_READS_AT_ONCE)

    async def read(
        self,
        user_id: UUID,
        panels: tuple[Panel, ...],
        budget_s: float,
        *,
        no_cache: bool = False,
        subject: Subject | None = None,
        watcher: DisconnectWatcher | None = None,
        answered: PanelWait | None = None,
    ) -> tuple[Dashboard, Mapping[str, float]]:
        """Return the dashboard within the budget, and how many seconds each panel took.

        `no_cache` reads from the services again; `subject` is the user as services know them, if not by the id alone;
        `answered` is a wait that already has all results. Raises `UserNotFound`, `NoPanelAvailable`, or
        `ClientDisconnected` if the client disconnects.
        """
        recall_s = recall_time(budget_s, self._recall_s)
        spans = PanelSpans(trace) if (trace := tracing.recorded()) else None
        wait = answered or AwaitedPanelWait(self._reader.timers, budget_s - recall_s, watcher, self._watch_after_s)
        dashboard = None
        try:
            if isinstance(wait, AwaitedPanelWait):
                reads = self._reader.read(
                    wait, panels, str(user_id), telemetry.origin(), no_cache=no_cache, subject=subject
                )
                if spans:
                    spans.asked(reads)
                await wait.wait()
                if wait.is_given_up:
                    raise ClientDisconnected
            dashboard = await self._assembled(user_id, panels, wait, recall_s, subject)
            return dashboard, wait.seconds
        finally:
            if spans:
                spans.send(wait, dashboard)

    async def read_many(
        self, user_ids: Sequence[UUID], panels: tuple[Panel, ...], budget_s: float, *, no_cache: bool = False
    ) -> DashboardBatch:
        """Read the dashboards of many users concurrently, so that their panels are batched. Raises no errors of single
        users. The budget of each begins at its turn."""
        found = await asyncio.gather(*(self._outcome(user_id, panels, budget_s, no_cache) for user_id in user_ids))
        by_id = dict(zip(map(str, user_ids), found, strict=True))
        items = {user_id: each for user_id, each in by_id.items() if isinstance(each, Dashboard)}
        errors = {user_id: each for user_id, each in by_id.items() if not isinstance(each, Dashboard)}
        return DashboardBatch(items, errors)

    async def _outcome(
        self, user_id: UUID, panels: tuple[Panel, ...], budget_s: float, no_cache: bool
    ) -> Dashboard | Problem:
        try:
            async with self._room:
                dashboard, _ = await self.read(user_id, panels, budget_s, no_cache=no_cache)
        except DashboardError as failed:
            return _problem(failed)
        except Exception:
            log.exception("dashboard of a batch failed", user_id=str(user_id))
            return _problem(DashboardError("This is an internal error; it has been logged."))
        return dashboard

    async def _assembled(
        self, user_id: UUID, panels: Sequence[Panel], wait: PanelWait, recall_s: float, subject: Subject | None
    ) -> Dashboard:
        answers = {panel.name: wait.answers[panel.name] for panel in panels}
        failed = [name for name, answer in answers.items() if answer.data is None]
        if any(answers[name].user_missing for name in failed):
            raise UserNotFound
        remembered: Mapping[str, Remembered] = {}
        recalled = [name for name in failed if answers[name].error not in PERSONAL]
        if recalled:
            with tracing.span("recall", Kind.CLIENT, {"db.system.name": "redis"}):
                remembered = await self._stale.recall(str(user_id), recalled, recall_s)
        dashboard = assemble(subject.id if subject else str(user_id), clock.now(), answers, remembered)
        counts = metrics.PANELS.counts
        for name, view in dashboard.panels.items():
            counts[name, view.status, view.error.code if view.error else ""] += 1
        if failed and dashboard.is_empty:
            raise NoPanelAvailable(dashboard.panels)
        return dashboard


def _problem(error: DashboardError) -> Problem:
    return problem(error.status, error.code, error.title, error.detail)


class PanelSpans:
    """The spans of one sampled dashboard: one per panel, with the source of the panel. `trace` is the position of the
    request.

    One call reads the panels of many dashboards. It belongs to the first sampled one: its span is below that one's
    panel, and the panels of the others link to it.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._reads: Mapping[str, InFlightRead] = {}
        self._positions: dict[str, Trace] = {}

    def asked(self, reads: Mapping[str, InFlightRead]) -> None:
        """The dashboard waits for these reads. A call that has not been sent yet belongs to this trace from now on,
        unless it belongs to another."""
        self._reads = reads
        for name, read in reads.items():
            self._positions[name] = position = self._trace.child()
            read.askers.setdefault(name, position)

    def send(self, wait: PanelWait, dashboard: Dashboard | None) -> None:
        """Record the outcome; there is no dashboard if its user does not exist, or the client has disconnected."""
        for name in dict.fromkeys([*wait.answers, *self._positions]):
            span = self._span(name, wait)
            answer = wait.answers.get(name)
            if answer is None:
                span.fail(GIVEN_UP)
            elif answer.data is None and not answer.user_missing:
                span.fail(answer.error)
            if dashboard:
                span.set({"dashboard.panel.status": dashboard.panels[name].status})
            span.end()

    def _span(self, name: str, wait: PanelWait) -> tracing.Recorded:
        position, seconds = self._positions.get(name) or self._trace.child(), wait.seconds.get(name)
        span = tracing.past(f"panel {name}", position, self._trace.span_id, wait.began, seconds)
        span.set({"dashboard.panel": name, "dashboard.panel.source": "memory"})
        if read := self._reads.get(name):
            carrier = read.carriers.get(name)
            own = carrier is position
            span.set({"dashboard.panel.source": "call" if own else "shared call"})
            if carrier and not own:
                span.link(carrier)
        return span
