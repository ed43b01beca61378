"""Times of the orders service that no deployment changes. Tests pass others to `create_app`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    lock_timeout_s: float = 2
    """How long a request waits for another one that is changing the same order, or using the same idempotency key."""


DEFAULTS = Tuning()
