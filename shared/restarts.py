"""Decides when a background task that has failed starts again."""

from dataclasses import dataclass
from random import uniform


@dataclass(frozen=True)
class RestartPolicy:
    """Pauses double from the first to the longest. A task that has run for `settled_s` has recovered."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 5
    settled_s: float = 5


class Failures:
    """Those of one task in a row."""

    MOST_DOUBLINGS = 30

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self.count = 0

    def pause_s(self) -> float:
        """Count a failure. Returns how long to wait after it, with jitter."""
        pause = self._policy.first_pause_s * 2.0 ** min(self.count, self.MOST_DOUBLINGS)
        self.count += 1
        return min(pause, self._policy.longest_pause_s) * uniform(0.75, 1)

    def reset(self) -> None:
        self.count = 0
