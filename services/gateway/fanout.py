"""Asks the services for all panels of a dashboard at once, and makes the best of what comes back in time."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from services.gateway import metrics
from services.gateway.cache import LastKnownGood
from services.gateway.dashboard import Answer, Dashboard, assemble
from services.gateway.errors import NoPanelAvailable, UserNotFound
from services.gateway.panels import Panel, Service, UserMissing
from services.gateway.upstream import Upstream, UpstreamFailed
from shared import clock
from shared.logs import get_logger

log = get_logger(__name__)

RECALL_SHARE = 0.2
"""The part of a short budget that is kept for reading what was known last."""


class Dashboards:
    """Reads dashboards: fresh where the services answer in time, else as they were last known."""

    def __init__(self, upstreams: Mapping[Service, Upstream], known_good: LastKnownGood, recall_s: float) -> None:
        self._upstreams = upstreams
        self._known_good = known_good
        self._recall_s = recall_s

    async def read(
        self, user_id: UUID, panels: Sequence[Panel], budget_s: float
    ) -> tuple[Dashboard, Mapping[str, Answer]]:
        """Answers within the budget. Raises `UserNotFound` or `NoPanelAvailable`."""
        recall_s = recall_time(budget_s, self._recall_s)
        answers = await self._ask_all(user_id, panels, budget_s - recall_s)
        if any(answer.user_missing for answer in answers.values()):
            raise UserNotFound
        self._remember(user_id, answers)
        failed = [name for name, answer in answers.items() if answer.data is None]
        remembered = await self._known_good.recall(user_id, failed, recall_s) if failed else {}
        dashboard = assemble(user_id, clock.now(), answers, remembered)
        self._count(dashboard)
        if dashboard.is_empty:
            raise NoPanelAvailable
        return dashboard, answers

    async def _ask_all(self, user_id: UUID, panels: Sequence[Panel], seconds: float) -> dict[str, Answer]:
        answers = await asyncio.gather(
            *(self._timed(panel, user_id, min(seconds, panel.timeout_ms / 1000)) for panel in panels)
        )
        return {panel.name: answer for panel, answer in zip(panels, answers, strict=True)}

    async def _timed(self, panel: Panel, user_id: UUID, seconds: float) -> Answer:
        began = time.perf_counter()
        answer = await self._ask(panel, user_id, seconds)
        took = time.perf_counter() - began
        metrics.PANEL_SECONDS.labels(panel.name).observe(took)
        return replace(answer, seconds=took)

    async def _ask(self, panel: Panel, user_id: UUID, seconds: float) -> Answer:
        """Raises nothing: what goes wrong with one panel is no other's business."""
        try:
            async with asyncio.timeout(seconds):
                data = await self._upstreams[panel.service].panel(panel, user_id, seconds)
        except UserMissing:
            return Answer(user_missing=True)
        except TimeoutError:
            return Answer(error="timeout")
        except UpstreamFailed as failed:
            log.warning("panel failed", panel=panel.name, code=failed.code, reason=str(failed))
            return Answer(error=failed.code)
        except Exception:
            log.exception("panel failed", panel=panel.name)
            return Answer(error="internal")
        return Answer(data)

    def _remember(self, user_id: UUID, answers: Mapping[str, Answer]) -> None:
        for name, answer in answers.items():
            if answer.data is not None:
                self._known_good.remember(name, user_id, answer.data)

    def _count(self, dashboard: Dashboard) -> None:
        for name, view in dashboard.panels.items():
            metrics.PANELS.labels(name, view.status, view.error.code if view.error else "").inc()


def recall_time(budget_s: float, longest_s: float) -> float:
    """The part of the budget that is not spent on asking the services."""
    return min(longest_s, budget_s * RECALL_SHARE)
