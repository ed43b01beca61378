"""Decides when a background task that has failed begins again, and when it is given up."""

from collections import deque
from dataclasses import dataclass
from random import uniform


@dataclass(frozen=True)
class RestartPolicy:
    """Pauses double from the first to the longest. More than `most` failures `within_s` are too many."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 15
    most: int = 5
    within_s: float = 120


class Failures:
    """Those of one task."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._times: deque[float] = deque()

    def pause_s(self, now: float) -> float | None:
        """How long to wait after a failure at this time, with jitter; None when there were too many."""
        self._times.append(now)
        while self._times[0] <= now - self._policy.within_s:
            self._times.popleft()
        if len(self._times) > self._policy.most:
            return None
        pause = self._policy.first_pause_s * 2.0 ** (len(self._times) - 1)
        return min(pause, self._policy.longest_pause_s) * uniform(0.75, 1)
