"""Counters that all replicas share, in Redis; while Redis is down, each replica counts in memory."""

import asyncio
import time
from typing import Any

from limits.aio.storage import RedisStorage
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway import metrics
from shared.observability.logs import get_logger

log = get_logger(__name__)

AWAY = (RedisError, OSError, TimeoutError)


class CountedAlone(Exception):
    """Redis is not responding; each replica applies the limits on its own."""


class OwnCounts:
    """In memory; expired counts are removed when their number has doubled since the last time."""

    PURGE_FROM = 10_000

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, float]] = {}
        """By key: the count, and its expiry."""
        self._purge_at = self.PURGE_FROM

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, key: str, seconds: int, amount: int, now: float) -> int:
        count, ends = self._counts.get(key, (0, now + seconds))
        self._counts[key] = count + amount, ends
        if len(self._counts) > self._purge_at:
            self._counts = {each: count for each, count in self._counts.items() if count[1] > now}
            self._purge_at = max(self.PURGE_FROM, 2 * len(self._counts))
        return count + amount


class SharedCounts:
    """After a failure Redis is not called for `pause_s`, and then by one request per pause: the others do not wait.

    Without Redis, this gateway counts alone.
    """

    FAILURE_SHOWN_S = 5.0
    """How long a failure shows in readiness: one key may fail repeatedly while others work."""

    def __init__(self, redis: Redis | None, url: str, timeout_s: float, pause_s: float) -> None:
        self._shared = _storage(redis, url) if redis is not None else None
        self._own = OwnCounts()
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._ask_at = self._failed_at = float("-inf")
        self.is_alone = False
        metrics.LIMITS_ALONE.set(0)

    async def add(self, key: str, seconds: int, amount: int = 1) -> int:
        """Add to the count of that key and return it; it expires after this many seconds."""
        now = time.monotonic()
        if self._shared is not None and now >= self._ask_at:
            if self.is_alone:
                self._ask_at = now + self._pause_s
            try:
                async with asyncio.timeout(self._timeout_s):
                    count = await self._shared.incr(key, seconds, amount)
            except AWAY as failure:
                self.failed(failure)
            else:
                self.answered()
                return count
        return self._own.add(key, seconds, amount, now)

    def failed(self, failure: Exception) -> None:
        """Redis did not respond."""
        self._failed_at = time.monotonic()
        self._ask_at = self._failed_at + self._pause_s
        if not self.is_alone:
            self.is_alone = True
            metrics.LIMITS_ALONE.set(1)
            log.warning("rate limits are counted by this gateway only", reason=repr(failure))

    def answered(self) -> None:
        """Redis is available."""
        if self.is_alone:
            self.is_alone = False
            self._ask_at = float("-inf")
            metrics.LIMITS_ALONE.set(0)
            log.info("rate limits are shared again")

    async def check(self) -> None:
        """For readiness. Raises `CountedAlone`."""
        if self.is_alone or time.monotonic() - self._failed_at < self.FAILURE_SHOWN_S:
            raise CountedAlone("each gateway counts on its own, up to the full limits")


def _storage(redis: Redis, url: str) -> RedisStorage:
    pool: Any = redis.connection_pool
    return RedisStorage(url, implementation="redispy", key_prefix="limits", connection_pool=pool)
