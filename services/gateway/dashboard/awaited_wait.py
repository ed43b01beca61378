"""A dashboard's wait for its panels, for a coroutine.

This module is not compiled: mypyc passes exceptions into coroutines in a way that is deprecated since Python 3.12.
"""

import asyncio
from collections.abc import Callable
from math import inf

from starlette.types import Receive

from services.gateway.dashboard.wait import PanelWait
from services.gateway.upstream.timers import Timers


class ClientDisconnected(Exception):
    """The client has disconnected."""


class DisconnectWatcher:
    """Watches one client, from `watch` to `end`. Uses a task, so it is meant for responses that take long."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listening: asyncio.Task[None] | None = None

    def watch(self, gone: Callable[[], None]) -> None:
        """Call `gone` when the client disconnects."""
        self._listening = asyncio.create_task(self._listen(gone))

    def end(self) -> None:
        """Drop the task: a cancelled one refers to its frame, which refers to this object."""
        if self._listening:
            self._listening.cancel()
            self._listening = None

    async def _listen(self, gone: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        gone()


class AwaitedPanelWait(PanelWait):
    """A wait for a coroutine. From `watch_after_s` on it watches for the client's disconnect, which ends it."""

    def __init__(
        self,
        timers: Timers,
        budget_s: float,
        watcher: DisconnectWatcher | None = None,
        watch_after_s: float = inf,
    ) -> None:
        super().__init__(timers, budget_s)
        self._watcher = watcher
        self._watch_at = self.began + watch_after_s if watcher else inf
        self.due = min(self.due, self._watch_at)
        self._done = asyncio.get_running_loop().create_future()

    def done(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def look(self, now: float) -> None:
        if self._watcher is not None and self._watch_at <= now:
            self._watch_at = inf
            self._watcher.watch(self.give_up)
        super().look(now)
        self.due = min(self.due, self._watch_at)

    async def wait(self) -> None:
        """Return when every panel has its result, even if it timed out, or when the client has disconnected. If
        cancelled, it leaves all reads."""
        try:
            if self._awaited:
                await self._done
        finally:
            if self._awaited:
                self.give_up()
            if self._watcher is not None:
                self._watcher.end()
