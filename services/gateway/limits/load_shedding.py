"""The classes of routes, and the limit on in-flight requests: as many as can be completed soon.

Soon means well within the budget of a dashboard, so a request that would be answered in time is never refused. By
Little's law, in-flight requests wait as long as it takes to complete all of them; the CPU cost of a request is measured
continuously. This applies only to requests that wait for the event loop, not to those that wait for a service. The
event loop lag, the delay of a timer, distinguishes them: requests that are in flight while the loop is on time wait for
something else. Therefore there is a limit only while the loop is late, and it applies to requests that have arrived
since it was on time.
"""

import asyncio
import time
from typing import Literal

from services.gateway import metrics
from services.gateway.settings import Tuning
from shared.contracts.internal_api import EXPORT
from shared.observability.pools import POOLS

RouteClass = Literal["read", "write", "login", "registration", "recovery", "upload", "batch", "stream"]
"""What rate limits and load shedding distinguish."""

PROBES = frozenset({"/livez", "/readyz"})
"""Never limited and never shed: monitoring must see that a process is busy, not dead."""

PASSWORD_RESETS = "/v1/password-resets"  # noqa: S105  a path
IDENTITY_PROVIDERS, IDENTITY_LINKS = "/v1/identity-providers/", "/v1/identity-links"
"""Signing in with an identity provider: the beginning of the paths, and where a password is entered."""
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_EXACT: dict[tuple[str, str], RouteClass] = {
    ("POST", "/v1/tokens"): "login",
    ("POST", "/web/session"): "login",
    ("POST", IDENTITY_LINKS): "login",
    ("POST", "/v1/users"): "registration",
    ("POST", PASSWORD_RESETS): "recovery",
    ("POST", f"{PASSWORD_RESETS}/confirm"): "recovery",
    ("POST", "/v1/email-verifications"): "recovery",
    ("POST", "/v1/email-verifications/resend"): "recovery",
    ("POST", "/v1/imports"): "upload",
    ("PUT", "/v1/me/avatar"): "upload",
    ("POST", "/v1/dashboards/batch"): "batch",
    ("POST", EXPORT): "stream",
}
_STREAMS = ("/download", "/events", "/errors")
"""Long responses: reports, the errors of an import, the live dashboard."""

LATER: frozenset[RouteClass] = frozenset({"batch", "upload", "stream"})
"""Requests that can wait: shed before interactive ones."""
LASTING: frozenset[RouteClass] = frozenset({"upload", "stream"})
"""May be in flight for minutes, and cost little."""


def route_class_of(method: str, path: str) -> RouteClass:
    """Return the class of a request, known before its route."""
    if path.startswith(IDENTITY_PROVIDERS):
        return "login"
    if method in _READING:
        return "stream" if path.endswith(_STREAMS) else "read"
    return _EXACT.get((method, path), "write")


DELAY_S = 0.25
"""While the loop is late, only as many requests are admitted as can be completed in this time, a part of
`GATEWAY_BUDGET_MS`."""
TICK_S = 0.01
"""How often the lag is sampled."""
WINDOW_S = 0.2
"""How often the cost of a request is recomputed."""
LATER_SHARE = 0.5
"""Batches, uploads and downloads are refused from this share of the limit on."""
FIRST_COST_S, NEW_COST_SHARE = 0.0005, 0.3
"""The assumed cost of a request before any was answered, and the weight of a window."""
TELLING = 10
"""The number of requests in a window that is sufficient to measure their cost."""
STILL_ELSEWHERE = 0.9
"""The share of requests waiting for something else that still do at the next sample."""


class LoadShedder:
    """`in_flight` is counted by the admission code, from the arrival of requests, not from when they are started.
    Those of `LASTING` classes are checked on arrival, and not counted. Below `watched_from` nothing is refused."""

    def __init__(self, max_in_flight: int, tuning: Tuning) -> None:
        self._max = float(max_in_flight) or float("inf")
        self._off = not max_in_flight
        self._min = tuning.shed_min_in_flight
        self._lag_s = tuning.shed_lag_s
        self._cost_s = FIRST_COST_S
        self._began = self._used_s = self._elsewhere = 0.0
        self._done = 0
        self.in_flight = 0
        self._allow(self._max)
        POOLS.watch("requests", lambda: self.in_flight, lambda: None if self._off else self.limit)

    def is_full(self, kind: RouteClass) -> bool:
        """Return whether a request of that class is refused now."""
        return self.in_flight >= (self.watched_from if kind in LATER else self.limit)

    def enter(self) -> None:
        """Count one more request in flight."""
        self.in_flight += 1

    def leave(self) -> None:
        """It has been answered, or was not to be counted."""
        self.in_flight -= 1
        self._done += 1

    def passed(self) -> None:
        """One was answered as soon as it arrived."""
        self._done += 1

    def look(self, lag_s: float, used_s: float, now: float) -> None:
        """Record a sample: the loop's lag at that moment, and the CPU time that the process has used since the last
        sample; all in seconds. Time in which the process waited for a CPU is not its own work."""
        self._used_s += used_s
        if now - self._began >= WINDOW_S:
            self._learn(now)
        if min(lag_s, used_s) > self._lag_s:
            self._elsewhere *= STILL_ELSEWHERE
            self._allow(min(self._max, self._elsewhere + max(self._min, DELAY_S / self._cost_s)))
        else:
            self._elsewhere = float(self.in_flight)
            self._allow(self._max)
        metrics.LOOP_LAG.set(lag_s)

    def _learn(self, now: float) -> None:
        if self._done >= TELLING:
            self._cost_s += NEW_COST_SHARE * (self._used_s / self._done - self._cost_s)
        self._began, self._used_s, self._done = now, 0.0, 0

    def _allow(self, limit: float) -> None:
        self.limit = limit
        self.watched_from = limit * LATER_SHARE

    async def watch(self) -> None:
        """Sample the loop's lag. Runs until cancelled."""
        metrics.IN_HAND.set_function(lambda: self.in_flight)
        metrics.IN_HAND_LIMIT.set_function(lambda: self.limit)
        began, used = time.perf_counter(), time.process_time()
        while not self._off:
            await asyncio.sleep(TICK_S)
            now, now_used = time.perf_counter(), time.process_time()  # the loop's own clock stands still while it works
            self.look(max(0.0, now - began - TICK_S), now_used - used, now)
            began, used = now, now_used
