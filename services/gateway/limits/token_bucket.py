"""So many a second, and no more than a few at once."""


class TokenBucket:
    """Gives out turns in their order: `burst` at once, then one every `every_s`."""

    def __init__(self, every_s: float, burst: int) -> None:
        self._every_s = every_s
        self._ahead_s = every_s * (burst - 1)
        self._next = 0.0

    def turn(self, now: float) -> float:
        """How many seconds from now the turn is that is taken by asking."""
        at = max(now, self._next - self._ahead_s)
        self._next = max(now, self._next) + self._every_s
        return at - now
