"""Amounts of the users service that no deployment changes. Tests pass others to `create_app`."""

from dataclasses import dataclass

from shared.feature import ServiceTuning


@dataclass(frozen=True, slots=True)
class Tuning(ServiceTuning):
    argon2_time_cost: int = 2
    """argon2id: passes."""
    argon2_memory_kib: int = 19 * 1024
    """argon2id: memory."""
    argon2_parallelism: int = 1
    """argon2id: lanes. The three values are OWASP's minimum recommendation: 20 ms of CPU. RFC 9106's second profile
    (3, 65536, 4) takes 160 ms, and a flood of sign-ins would take that time from all users. A hash with other
    parameters is renewed at the next sign-in."""
    hash_queue: int = 32
    """Password checks that may wait for a thread; more are answered 503."""


DEFAULTS = Tuning()
