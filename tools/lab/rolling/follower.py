"""A simulated user with a page that is always open: the live stream is opened again when it ends."""

import asyncio
from itertools import cycle
from typing import Any

import httpx

from tests.support.sse import Reader
from tools.lab.rolling.front import IDLE_S, PATIENCE_S

PATH = "/v1/dashboard/events"


class Follower:
    """`known` has the latest received version of each panel. `failures` are streams that were refused or aborted."""

    def __init__(self, urls: list[str], headers: dict[str, str]) -> None:
        self._urls = cycle(urls)
        self._headers = headers
        self._last_id = ""
        self.known: dict[str, Any] = {}
        self.streams = 0
        self.failures: list[str] = []

    async def run(self) -> None:
        """Runs until cancelled."""
        timeout = httpx.Timeout(PATIENCE_S)
        async with httpx.AsyncClient(timeout=timeout, limits=httpx.Limits(keepalive_expiry=IDLE_S)) as http:
            while True:
                await self._follow(http)

    async def _follow(self, http: httpx.AsyncClient) -> None:
        reader = Following(self)
        headers = self._headers | ({"Last-Event-ID": self._last_id} if self._last_id else {})
        try:
            async with http.stream("GET", next(self._urls) + PATH, headers=headers) as response:
                if response.status_code != httpx.codes.OK:
                    self.failures.append(f"{response.status_code} {(await response.aread()).decode()}")
                    await asyncio.sleep(0.1)
                    return
                self.streams += 1
                await reader.read(response)
        except httpx.ConnectError:  # this gateway has just ended: use the other one
            await asyncio.sleep(0.05)
        except httpx.HTTPError as torn:
            self.failures.append(repr(torn))
        else:
            if not reader.of("end"):
                self.failures.append("stream ended unexpectedly")

    def take(self, event: str, data: Any, event_id: str) -> None:
        self._last_id = event_id or self._last_id
        if event == "panel":
            self.known[data["panel"]] = data


class Following(Reader):
    def __init__(self, follower: Follower) -> None:
        super().__init__()
        self._follower = follower

    def _take(self, fields: Any) -> None:
        before = len(self.events)
        super()._take(fields)
        for told in self.events[before:]:
            self._follower.take(told.event, told.data, told.id)
