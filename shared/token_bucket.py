"""A token bucket: a number of tokens per second, with a limit on bursts."""

ROUNDING_S = 1e-6
"""Shorter waits come from the rounding of times."""


class TokenBucket:
    """Assigns turns in order: `burst` at once, then one every `every_s`. Times are seconds of any one clock."""

    def __init__(self, every_s: float, burst: int) -> None:
        self._every_s = every_s
        self._ahead_s = every_s * (burst - 1)
        self._next = float("-inf")

    def wait_s(self, now: float) -> float:
        """Return how many seconds from now the next turn is."""
        wait_s = self._next - self._ahead_s - now
        return wait_s if wait_s > ROUNDING_S else 0.0

    def turn(self, now: float) -> float:
        """Take a turn, and return how many seconds from now it is."""
        wait_s = self.wait_s(now)
        self._next = max(now, self._next) + self._every_s
        return wait_s

    def is_full(self, now: float) -> bool:
        """Return whether it is as if no turn had been taken."""
        return self._next <= now
