"""An administrator, who resumes the schedule of a run, requests extra runs of it, and pauses it at the end."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from services.users.accounts.administration import promote
from tests.support.waiting import eventually
from tools.devstack.system.databases import fetch
from tools.lab.chaos.journal import Journal
from tools.lab.chaos.person import Person, Tokens
from tools.lab.chaos.record_run import SCHEDULE
from tools.lab.chaos.requests import NoAnswer, Requests

PATH = f"/v1/admin/schedules/{SCHEDULE}"
RUN_EVERY_S = 4.0
NEXT_TICK = "SELECT next_run FROM schedules WHERE name = $1 AND next_run > now()"
CLOCK = "SELECT now()"


class Operator(Person):
    def __init__(
        self, databases: Mapping[str, str], requests: Requests, journal: Journal, seed: int, tokens: Tokens
    ) -> None:
        super().__init__(f"operator-{seed}", requests, journal, random.Random(f"{seed}/operator"), tokens)
        self._databases = databases

    async def begin(self) -> None:
        """Become an administrator, and resume the schedule."""
        await self.arrive()
        await promote(self._databases["users"], self.email, "admin", "chaos")
        await self._sign_in()
        await self._switch("resume")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Request runs within the block."""
        requesting = asyncio.create_task(self._request_runs())
        try:
            yield
        finally:
            requesting.cancel()
            with suppress(asyncio.CancelledError):
                await requesting

    async def end(self, within_s: float) -> None:
        """Pause the schedule when all ticks that are due are in the ledger, and record the first one that is not
        expected any more. If they are not there in time, they are expected nevertheless."""
        with suppress(AssertionError):
            await eventually(self._is_up_to_date, within_s)
        [(self._journal.ticks_end,)] = await self._next_tick() or await asyncio.to_thread(self._fetch, CLOCK)
        with suppress(NoAnswer):
            await self._switch("pause")

    async def _request_runs(self) -> None:
        with suppress(NoAnswer):
            while True:
                await asyncio.sleep(RUN_EVERY_S)
                answer = await self._ask("run schedule", "POST", f"{PATH}/run")
                if self._expect("run schedule", answer, HTTPStatus.ACCEPTED):
                    self._journal.requested_runs.add(UUID(answer.json()["event_id"]))

    async def _switch(self, verb: str) -> None:
        self._expect(verb, await self._ask(f"{verb} schedule", "POST", f"{PATH}/{verb}"), HTTPStatus.NO_CONTENT)

    async def _is_up_to_date(self) -> bool:
        return bool(await self._next_tick())

    async def _next_tick(self) -> list[tuple[datetime]]:
        return await asyncio.to_thread(self._fetch, NEXT_TICK, SCHEDULE)

    def _fetch(self, query: str, *values: object) -> list[tuple[datetime]]:
        return [(row[0],) for row in fetch(self._databases["worker"], query, *values)]
