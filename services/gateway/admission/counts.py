"""Counts that all replicas share, in Redis; while Redis does not answer, each replica's own, in memory."""

import asyncio
import time

from limits.aio.storage import MemoryStorage, RedisStorage
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway import metrics
from shared.logs import get_logger

log = get_logger(__name__)

AWAY = (RedisError, OSError, TimeoutError)


class CountedAlone(Exception):
    """Redis does not answer; limits hold for each replica by itself."""


class SharedCounts:
    """After a failure Redis is left alone for `pause_s`, and asked by one request a pause: the others do not wait."""

    def __init__(self, redis: Redis, url: str, timeout_s: float, pause_s: float) -> None:
        self._shared = RedisStorage(
            url,
            implementation="redispy",
            key_prefix="limits",
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]
        )
        self._alone = MemoryStorage()
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._ask_at = float("-inf")
        self.is_alone = False
        metrics.LIMITS_ALONE.set(0)

    async def add(self, key: str, seconds: int, amount: int = 1) -> int:
        """The count under that key, after adding; it is forgotten after so many seconds."""
        now = time.monotonic()
        if now >= self._ask_at:
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
        return await self._alone.incr(key, seconds, amount)

    def failed(self, failure: Exception) -> None:
        """Redis did not answer."""
        self._ask_at = time.monotonic() + self._pause_s
        if not self.is_alone:
            self.is_alone = True
            metrics.LIMITS_ALONE.set(1)
            log.warning("limits are counted by this gateway alone", reason=repr(failure))

    def answered(self) -> None:
        """Redis is there."""
        if self.is_alone:
            self.is_alone = False
            self._ask_at = float("-inf")
            metrics.LIMITS_ALONE.set(0)
            log.info("limits are shared again")

    async def check(self) -> None:
        """For readiness. Raises `CountedAlone`."""
        if self.is_alone:
            raise CountedAlone("each gateway counts alone, up to the full limits")
