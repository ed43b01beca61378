"""The dashboards of many users at once: what fails for one of them costs the others nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from services.gateway.dashboard.models import Dashboard
from services.gateway.dashboard.service import DashboardService
from services.gateway.panels import Panel
from shared.errors import DashboardError, problem
from shared.observability.logs import get_logger

log = get_logger(__name__)

Problem = dict[str, Any]


class DashboardBatch(msgspec.Struct, frozen=True):
    """Each user is in one of the two."""

    items: dict[str, Dashboard]
    errors: dict[str, Problem]


class BatchReader:
    """Reads them side by side: the questions for each panel leave together."""

    READS_AT_ONCE = 200
    """Two full requests; those of others wait."""

    def __init__(self, dashboards: DashboardService) -> None:
        self._dashboards = dashboards
        self._room = asyncio.Semaphore(self.READS_AT_ONCE)

    async def read(
        self, user_ids: Sequence[UUID], panels: tuple[Panel, ...], budget_s: float, *, no_cache: bool = False
    ) -> DashboardBatch:
        """Raises nothing that is about one user. Each has the budget from when its turn comes."""
        found = await asyncio.gather(*(self._read(user_id, panels, budget_s, no_cache) for user_id in user_ids))
        by_id = dict(zip(map(str, user_ids), found, strict=True))
        items = {user_id: one for user_id, one in by_id.items() if isinstance(one, Dashboard)}
        return DashboardBatch(items, {user_id: one for user_id, one in by_id.items() if not isinstance(one, Dashboard)})

    async def _read(
        self, user_id: UUID, panels: tuple[Panel, ...], budget_s: float, no_cache: bool
    ) -> Dashboard | Problem:
        try:
            async with self._room:
                dashboard, _ = await self._dashboards.read(user_id, panels, budget_s, no_cache=no_cache)
        except DashboardError as failed:
            return _problem(failed)
        except Exception:
            log.exception("a dashboard among many failed", user_id=str(user_id))
            return _problem(DashboardError("The error is ours and has been logged."))
        return dashboard


def _problem(error: DashboardError) -> Problem:
    return problem(error.status, error.code, error.title, error.detail)
