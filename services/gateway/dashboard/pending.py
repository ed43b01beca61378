"""The two kinds of `PanelWait`: that of a dashboard answered in the protocol, and that of a coroutine.

This module is not compiled: mypyc compiles no class that inherits from two, and passes exceptions into coroutines in a
way that is deprecated since Python 3.12.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol

from starlette.types import Receive

from services.gateway import metrics
from services.gateway.auth.authenticator import Verified
from services.gateway.dashboard.models import DashboardQuery
from services.gateway.dashboard.reader import PanelReader
from services.gateway.dashboard.wait import PanelWait, recall_time
from services.gateway.limits.limiter import COUNTED, HEADERS
from services.gateway.upstream.timers import Timers
from shared.http.application import BEGUN, STARTED
from shared.observability.logs import get_logger
from shared.observability.telemetry import Origin
from shared.server.connection import LET_IN
from shared.server.fast_path import Exchange, FastPathProtocol

log = get_logger(__name__)

WAIT = "dashboard.wait"
"""Scope key: the panels have already been waited for."""


class Form:
    """The common parts of all responses to a query."""

    def __init__(self, query: DashboardQuery, longest_recall_s: float) -> None:
        budget_s = query.budget_ms / 1000
        names = [panel.name for panel in query.panels]
        openings = [b'"%s":{"status":"fresh","age_ms":%%d,"data":' % name.encode() for name in names]
        self.panels = query.panels
        self.own_only = any(panel.own_only for panel in query.panels)
        self.names = names
        self.budget_s = budget_s - recall_time(budget_s, longest_recall_s)
        self.openings = [b'","complete":true,"panels":{' + openings[0], *[b"}," + each for each in openings[1:]]]
        self.timing = b", ".join([b"%s;dur=%%.1f;desc=%%s" % name.encode() for name in names])
        self.from_cache = b", ".join([b"%s;dur=0.0;desc=cache" % name.encode() for name in names])
        self.fresh = metrics.PANELS.group(*[(name, "fresh", "") for name in names])
        self.hits = metrics.CACHE_LOOKUPS.group(*[(name, "hit") for name in names])


class Answers(Protocol):
    """The part of the fast path that a pending dashboard needs."""

    reader: PanelReader

    def finish(self, pending: "Pending") -> None:
        """Send the response, now that every panel has a result."""


class Pending(Exchange, PanelWait):
    """One dashboard in flight: an exchange for its connection, and a wait for the services."""

    def __init__(
        self,
        fast_path: Answers,
        protocol: FastPathProtocol,
        form: Form,
        known: Verified,
        origin: Origin,
        limits: bytes,
        started: float,
    ) -> None:
        Exchange.__init__(self, protocol)
        PanelWait.__init__(self, fast_path.reader.timers, form.budget_s)
        self._fast_path = fast_path
        self.form = form
        self.known = known
        self.origin = origin
        self.limits = limits
        self.started = started

    def done(self) -> None:
        try:
            self._fast_path.finish(self)
        except Exception:
            log.exception("dashboard could not be answered in the protocol", **named(self.origin))
            if not self.response_started:
                self.hand_over()

    def hand_over(self) -> None:
        """Let the application report what is missing. It counts nothing again, and repeats no call."""
        lines = [line.partition(b": ")[::2] for line in self.limits.split(b"\r\n") if line]
        self.protocol.hand_over(
            self,
            {
                BEGUN: self.origin,
                STARTED: self.started,
                LET_IN: True,
                COUNTED: True,
                HEADERS: tuple(lines),
                WAIT: self,
            },
        )

    def client_left(self) -> None:
        self.give_up()


def named(origin: Origin) -> dict[str, str]:
    """Return the fields that identify the request in a log line."""
    return {"request_id": origin.request_id, "trace_id": origin.trace.trace_id}


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
