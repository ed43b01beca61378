"""Panels as they were last known, in Redis. A convenience: without it dashboards work, only never `stale`."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway import metrics
from services.gateway.dashboard import Remembered
from services.gateway.panels import PANELS
from services.gateway.settings import Settings
from shared.logs import get_logger

log = get_logger(__name__)

Revoked = Callable[[Sequence[UUID]], Awaitable[Collection[UUID]]]


class Entry(msgspec.Struct, frozen=True):
    """A panel and when it was fetched (Unix milliseconds)."""

    at: int
    data: msgspec.Raw


_entries = msgspec.json.Decoder(Entry)


def _key(panel: str, user_id: UUID) -> str:
    return f"lkg:{panel}:{user_id}"


class Written:
    """What was written last of each panel and user, of as many as are noted: a digest, and when (Unix milliseconds)."""

    def __init__(self, most: int, rewrite_ms: float) -> None:
        self._most = most
        self._rewrite_ms = rewrite_ms
        self._noted: OrderedDict[tuple[str, UUID], tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._noted)

    def is_due(self, key: tuple[str, UUID], data: msgspec.Raw, now_ms: int) -> bool:
        """Whether it must be written now, which is then noted."""
        digest = hash(bytes(data))
        known = self._noted.get(key)
        if known and known[0] == digest and 0 <= now_ms - known[1] < self._rewrite_ms:
            return False
        self._noted[key] = digest, now_ms
        self._noted.move_to_end(key)
        if len(self._noted) > self._most:
            self._noted.popitem(last=False)
        return True

    def forget(self, key: tuple[str, UUID]) -> None:
        self._noted.pop(key, None)

    def clear(self) -> None:
        self._noted.clear()


class LastKnownGood:
    """Writes behind in batches, off the requests' path; reads only for panels that failed."""

    def __init__(self, redis: Redis, settings: Settings, revoked_users: Revoked) -> None:
        self._redis = redis
        self._settings = settings
        self._revoked_users = revoked_users
        self._queue: dict[tuple[str, UUID], Entry] = {}
        self._written = Written(settings.last_known_good_noted, settings.last_known_good_rewrite_s * 1000)
        self._filled = asyncio.Event()

    def remember(self, panel: str, user_id: UUID, data: msgspec.Raw) -> None:
        """Queue a panel just read, unless it was written lately as it is.

        The newest of a panel and user is kept, and the oldest dropped when too many wait.
        """
        key, now_ms = (panel, user_id), _now_ms()
        if not self._written.is_due(key, data, now_ms):
            return
        self._queue.pop(key, None)
        self._queue[key] = Entry(now_ms, data)
        if len(self._queue) > self._settings.write_behind_queue:
            oldest = next(iter(self._queue))
            self._queue.pop(oldest)
            self._written.forget(oldest)
            metrics.WRITE_BEHIND_LOST.labels("full").inc()
        metrics.WRITE_BEHIND_QUEUE.set(len(self._queue))
        self._filled.set()

    async def recall(self, user_id: UUID, panels: Sequence[str], seconds: float) -> dict[str, Remembered]:
        """What is known of these panels; nothing when Redis does not answer in time."""
        try:
            async with asyncio.timeout(seconds):
                found = await self._redis.mget([_key(panel, user_id) for panel in panels])
            recalled = {
                panel: _recalled(value) for panel, value in zip(panels, found, strict=True) if value is not None
            }
            oldest_ms = self._settings.last_known_good_max_age_s * 1000
            return {panel: known for panel, known in recalled.items() if known.age_ms <= oldest_ms}
        except (RedisError, OSError, TimeoutError, msgspec.DecodeError) as failure:
            metrics.RECALL_FAILURES.inc()
            log.debug("last known panels cannot be read", reason=repr(failure))
            return {}

    async def forget(self, user_id: UUID) -> None:
        """Remove everything about a user."""
        for panel in PANELS:
            self._queue.pop((panel.name, user_id), None)
            self._written.forget((panel.name, user_id))
        try:
            async with asyncio.timeout(self._settings.redis_write_timeout_s):
                await self._redis.delete(*(_key(panel.name, user_id) for panel in PANELS))
        except (RedisError, OSError, TimeoutError) as failure:
            log.warning("last known panels cannot be removed; they expire", user_id=str(user_id), reason=repr(failure))

    async def write_behind(self) -> None:
        """Write what is queued, until cancelled."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(self._settings.write_behind_pause_s)
            batch = self._take()
            try:
                async with asyncio.timeout(self._settings.redis_write_timeout_s):
                    await self._write(batch)
            except (RedisError, OSError, TimeoutError) as failure:
                self._written.clear()  # Redis may have come back empty
                metrics.WRITE_BEHIND_LOST.labels("redis").inc(len(batch))
                log.warning("last known panels cannot be written", panels=len(batch), reason=repr(failure))
                await asyncio.sleep(self._settings.redis_write_timeout_s)

    def _take(self) -> dict[tuple[str, UUID], Entry]:
        keys = list(self._queue)[: self._settings.write_behind_batch]
        batch = {key: self._queue.pop(key) for key in keys}
        metrics.WRITE_BEHIND_QUEUE.set(len(self._queue))
        if not self._queue:
            self._filled.clear()
        return batch

    async def _write(self, batch: dict[tuple[str, UUID], Entry]) -> None:
        # A dashboard that was under way while its user was deleted must not bring them back.
        gone = await self._revoked_users(list({user_id for _, user_id in batch}))
        pipeline = self._redis.pipeline(transaction=False)
        for (panel, user_id), entry in batch.items():
            if user_id not in gone:
                pipeline.set(
                    _key(panel, user_id), msgspec.json.encode(entry), ex=self._settings.last_known_good_max_age_s
                )
        await pipeline.execute()


def _recalled(value: bytes | str) -> Remembered:
    entry = _entries.decode(value)
    return Remembered(entry.data, max(0, _now_ms() - entry.at))


def _now_ms() -> int:
    return int(time.time() * 1000)
