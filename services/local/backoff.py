"""How long to wait before starting again what keeps dying."""

FIRST = 0.2
LONGEST = 15.0
# Alive for this long, it counts as well again.
STABLE = 20.0


class Backoff:
    def __init__(self) -> None:
        self._next = FIRST

    def after(self, lifetime: float) -> float:
        if lifetime >= STABLE:
            self._next = FIRST
        delay = self._next
        self._next = min(delay * 2, LONGEST)
        return delay
