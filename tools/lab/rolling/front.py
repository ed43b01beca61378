"""The requests of clients behind a front that knows both gateways, like nginx in deploy/compose.

If one gateway refuses the connection, the request goes to the other. A request that may have been received is never
repeated, and every unsuccessful response is a failure. So every effect of a restart is counted.
"""

import asyncio
import time
from typing import Any

import httpx

from tools.lab.chaos.journal import Journal
from tools.lab.chaos.requests import NoAnswer, Requests

PATIENCE_S = 180.0
"""Longer than any response takes, even on a busy machine: what counts is whether a request is answered."""
IDLE_S = 1.0
"""Less than the time that a process that shuts down serves idle connections."""
LOOK_EVERY_S = 0.5
INCOMPLETE = ("dashboard", "not completely fresh")
NOTHING_IN_TIME = ("dashboard", "without any panel in time")
"""The response 503 with Retry-After, because every panel was too late. A slow machine causes it as well, so it is
counted separately."""
PASSED_OVER = ("any", "sent to the other gateway")
NOT_YET_KNOWN = ("verify", "a gateway of the last version does not know the route")
"""The client repeats it until a gateway knows it; one that never does is a request without a definite response."""
NOT_FAILURES = (INCOMPLETE, NOTHING_IN_TIME, PASSED_OVER, NOT_YET_KNOWN)


class Front(Requests):
    def __init__(self, urls: list[str], journal: Journal) -> None:
        super().__init__(urls, journal)
        limits = httpx.Limits(max_connections=200, keepalive_expiry=IDLE_S)
        self._http = httpx.AsyncClient(timeout=PATIENCE_S, limits=limits)
        self._every = urls
        self._turn = 0

    async def once(self, what: str, method: str, path: str, **more: Any) -> httpx.Response | None:
        self._turn += 1
        first = self._turn % len(self._every)
        for url in (*self._every[first:], *self._every[:first]):
            try:
                return self._seen(what, await self._http.request(method, url + path, **more))
            except httpx.ConnectError:
                self._journal.requests[PASSED_OVER] += 1
            except httpx.HTTPError as error:
                self._journal.requests[what, repr(error)] += 1
                return None
        self._journal.requests[what, "no connection"] += 1
        return None

    def _seen(self, what: str, answer: httpx.Response) -> httpx.Response:
        outcome = str(answer.status_code) if answer.is_success else f"{answer.status_code} {answer.text}"
        if "no_panel_available" in outcome:
            self._journal.requests[NOTHING_IN_TIME] += 1
            return answer
        self._journal.requests[what, outcome] += 1
        if answer.headers.get("Dashboard-Complete") == "false":
            self._journal.requests[INCOMPLETE] += 1
        return answer


class FrontOfTwoVersions(Front):
    """Repeats a verification that a gateway of the last version answers with 404, because it has no such route."""

    async def until_definite(self, what: str, method: str, path: str, **more: Any) -> httpx.Response:
        while _is_not_yet_known(what, answer := await super().until_definite(what, method, path, **more)):
            if time.monotonic() > self.give_up_at:
                self._journal.unanswered.append(f"{what}: {answer.text}")
                raise NoAnswer(what)
            await asyncio.sleep(LOOK_EVERY_S)
        return answer

    def _seen(self, what: str, answer: httpx.Response) -> httpx.Response:
        if not _is_not_yet_known(what, answer):
            return super()._seen(what, answer)
        self._journal.requests[NOT_YET_KNOWN] += 1
        return answer


def _is_not_yet_known(what: str, answer: httpx.Response) -> bool:
    return what == NOT_YET_KNOWN[0] and answer.status_code == httpx.codes.NOT_FOUND


def failures(journal: Journal) -> list[str]:
    """Return every request that was not successful."""
    return [
        f"{what}: {outcome} ({count} times)"
        for (what, outcome), count in journal.requests.items()
        if (what, outcome) not in NOT_FAILURES and not outcome.startswith("2")
    ]
