"""Second attempts: after a failure, or when the first takes longer than most calls.

Second attempts are paid from a budget, so that a service in trouble does not receive twice the load.
"""

from collections import deque
from math import inf
from typing import Final


class RetryBudget:
    """Every call adds its share, every second attempt costs one; the balance is limited."""

    MAX_SAVED: Final = 10.0

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = 0.0

    def pay_in(self) -> None:
        self._saved = min(self.MAX_SAVED, self._saved + self._share)

    def take(self) -> bool:
        """Return whether the balance covers one attempt, and take it if so."""
        # Ten tenths are less than one in binary.
        if self._saved < 1 - 1e-9:
            return False
        self._saved -= 1
        return True


class Hedge:
    """Computes when a second attempt is due for one kind of call: at the 95th percentile of the latest calls, but
    not before `least_s`."""

    REMEMBERED: Final = 200
    ENOUGH: Final = 20
    RENEWED_EVERY: Final = 50

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._latest: deque[float] = deque(maxlen=self.REMEMBERED)
        self._seen = 0
        self.p95 = inf
        """In seconds; infinite until enough calls have been observed."""

    @property
    def after_s(self) -> float:
        """In seconds from the beginning of a call."""
        return max(self._least_s, self.p95)

    def observe(self, seconds: float) -> None:
        self._latest.append(seconds)
        self._seen += 1
        if self._seen == self.ENOUGH or self._seen % self.RENEWED_EVERY == 0:
            in_order = sorted(self._latest)
            self.p95 = in_order[int(len(in_order) * 0.95)]
