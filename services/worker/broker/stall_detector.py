"""Decides from repeated looks whether consumers get on, and when only a restart may help."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """`ready` is what the broker could deliver, `delivered` all that has ever come, `unsettled` what is in hand."""

    at: float
    ready: int
    delivered: int
    unsettled: int


class StallDetector:
    """A queue that has messages, delivers none, and could, has stalled: its consumer is one in name only."""

    def __init__(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self._last: Sample | None = None
        self._waiting_since: float | None = None
        self.gets_on = False
        """As far as can be told, which takes two looks."""

    def look(self, look: Sample) -> None:
        last, self._last = self._last, look
        idle = last is not None and last.delivered == look.delivered
        if not (look.ready and idle and look.unsettled < self._prefetch):
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = look.at
        self.gets_on = last is not None and self._waiting_since is None

    def stalled_s(self, now: float) -> float:
        return 0.0 if self._waiting_since is None else now - self._waiting_since


class Grace:
    """Runs out when things have been wrong for long without once being well."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._wrong_since: float | None = None

    def well(self) -> None:
        self._wrong_since = None

    def wrong(self, now: float) -> None:
        if self._wrong_since is None:
            self._wrong_since = now

    def is_out(self, now: float) -> bool:
        return self._wrong_since is not None and now - self._wrong_since > self._limit_s
