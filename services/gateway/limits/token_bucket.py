"""A token bucket: a number of tokens per second, with a limit on bursts."""


class TokenBucket:
    """Assigns turns in order: `burst` at once, then one every `every_s`."""

    def __init__(self, every_s: float, burst: int) -> None:
        self._every_s = every_s
        self._ahead_s = every_s * (burst - 1)
        self._next = 0.0

    def turn(self, now: float) -> float:
        """Take a turn, and return how many seconds from now it is."""
        at = max(now, self._next - self._ahead_s)
        self._next = max(now, self._next) + self._every_s
        return at - now
