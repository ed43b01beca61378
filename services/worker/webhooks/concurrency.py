"""Limits on concurrent calls: in total, per host, per user; and on how often one host is called.

So one host that hangs holds some of the places, never all, and neither does one user with many of them. A host whose
last call failed is unhealthy: it gets one place until a call succeeds, and all such hosts share half of the places.
"""

from collections import Counter
from uuid import UUID

from shared.token_bucket import TokenBucket

PER_USER = 8
"""Concurrent calls for one user."""
MAX_AILING = 10_000
"""The number of unhealthy hosts that are remembered."""


class CallSlots:
    """The limits of one process. A host is identified by its lane. `per_host_per_s` are calls started, on average;
    as many as `per_host` at once."""

    def __init__(self, *, calls: int, per_host: int, per_host_per_s: float, per_user: int = PER_USER) -> None:
        self.calls = calls
        self.per_host = per_host
        self._per_host_per_s = per_host_per_s
        self._per_user = per_user
        self._hosts: Counter[str] = Counter()
        self._users: Counter[UUID] = Counter()
        self._ailing: dict[str, None] = {}
        self._buckets: dict[str, TokenBucket] = {}
        """The hosts' calls per second; full buckets are forgotten."""

    @property
    def free(self) -> int:
        return self.calls - self._hosts.total()

    def full_hosts(self, now: float) -> list[str]:
        """Return the hosts that may not be called now."""
        self._forget_paced(now)
        known = self._hosts.keys() | self._buckets.keys() | self._ailing.keys()
        return [lane for lane in known if not self._host_may(lane, now)]

    def full_users(self) -> list[UUID]:
        return [user_id for user_id, calls in self._users.items() if calls >= self._per_user]

    def crowded(self, now: float) -> bool:
        """Return whether a host only has to wait for the rate limit."""
        self._forget_paced(now)
        return any(self._hosts[lane] < self.per_host and not self._paced(lane, now) for lane in self._buckets)

    def take(self, lane: str, user_id: UUID, now: float) -> bool:
        """Return whether there was a place; it must then be released."""
        if self.free < 1 or self._users[user_id] >= self._per_user or not self._host_may(lane, now):
            return False
        self._hosts[lane] += 1
        self._users[user_id] += 1
        if lane not in self._buckets:
            self._buckets[lane] = TokenBucket(1 / self._per_host_per_s, self.per_host)
        self._buckets[lane].turn(now)
        return True

    def give_back(self, lane: str, user_id: UUID) -> None:
        self._hosts -= Counter([lane])  # removes zero counts
        self._users -= Counter([user_id])

    def called(self, lane: str, well: bool) -> None:
        """Record the outcome of a call to this host."""
        self._ailing.pop(lane, None)
        if not well:
            self._ailing[lane] = None
            if len(self._ailing) > MAX_AILING:
                del self._ailing[next(iter(self._ailing))]

    def _host_may(self, lane: str, now: float) -> bool:
        if lane in self._ailing and (self._hosts[lane] or self._ailing_calls() >= max(1, self.calls // 2)):
            return False
        return self._hosts[lane] < self.per_host and self._paced(lane, now)

    def _ailing_calls(self) -> int:
        return sum(calls for lane, calls in self._hosts.items() if lane in self._ailing)

    def _paced(self, lane: str, now: float) -> bool:
        bucket = self._buckets.get(lane)
        return bucket is None or bucket.wait_s(now) == 0

    def _forget_paced(self, now: float) -> None:
        self._buckets = {lane: bucket for lane, bucket in self._buckets.items() if not bucket.is_full(now)}
