"""Decides from repeated samples whether consumers make progress, and when only a restart may help."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """`ready` is what the broker could deliver, `delivered` the total so far, `unsettled` the messages in flight."""

    at: float
    ready: int
    delivered: int
    unsettled: int


class StallDetector:
    """A queue that has messages, could deliver them and does not has stalled: its consumer is not working."""

    def __init__(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self._last: Sample | None = None
        self._waiting_since: float | None = None
        self.progresses = False
        """Whether it makes progress, as far as two samples can show."""

    def observe(self, sample: Sample) -> None:
        last, self._last = self._last, sample
        idle = last is not None and last.delivered == sample.delivered
        if not (sample.ready and idle and sample.unsettled < self._prefetch):
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = sample.at
        self.progresses = last is not None and self._waiting_since is None

    def stalled_s(self, now: float) -> float:
        return 0.0 if self._waiting_since is None else now - self._waiting_since


class Grace:
    """Expires when the consumers have been unhealthy for long without recovering once."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._failing_since: float | None = None

    def recovered(self) -> None:
        self._failing_since = None

    def failed(self, now: float) -> None:
        if self._failing_since is None:
            self._failing_since = now

    def has_expired(self, now: float) -> bool:
        return self._failing_since is not None and now - self._failing_since > self._limit_s
