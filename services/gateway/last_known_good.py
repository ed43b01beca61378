"""Panels as they were last known, in Redis. A convenience: without it dashboards work, only never `stale`."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway import metrics
from services.gateway.dashboard import Remembered
from services.gateway.gathered_keys import GatheredKeys
from services.gateway.panels import PANELS
from services.gateway.settings import Settings
from shared.logs import get_logger

log = get_logger(__name__)

Key = tuple[str, str]
"""Panel and user id."""
IsGone = Callable[[UUID], bool]


class Entry(msgspec.Struct, frozen=True):
    """A panel and when it was fetched (Unix milliseconds)."""

    at: int
    data: msgspec.Raw


_entries = msgspec.json.Decoder(Entry)


def _key(panel: str, user_id: str) -> str:
    return f"lkg:{panel}:{user_id}"


class Written:
    """What was written last of each panel and user, of as many as are noted: a digest, and when (Unix milliseconds)."""

    def __init__(self, most: int, rewrite_ms: float) -> None:
        self._most = most
        self._rewrite_ms = rewrite_ms
        self._noted: OrderedDict[Key, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._noted)

    def is_due(self, key: Key, data: msgspec.Raw, now_ms: int) -> bool:
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

    def forget(self, key: Key) -> None:
        self._noted.pop(key, None)

    def clear(self) -> None:
        self._noted.clear()


class LastKnownGood:
    """Writes behind in batches, off the requests' path; reads only for panels that failed, for many at a time."""

    PRESSING_SHARE = 0.5
    """The queue that is so full is not left to gather any longer."""

    def __init__(self, redis: Redis, settings: Settings, is_gone: IsGone) -> None:
        self._redis = redis
        self._settings = settings
        self._is_gone = is_gone
        self._reads = GatheredKeys(redis, settings.redis_timeout_s)
        self._queue: dict[Key, Entry] = {}
        self._most = settings.write_behind_queue
        self._pressing_at = max(1, int(self._most * self.PRESSING_SHARE))
        self._written = Written(settings.last_known_good_noted, settings.last_known_good_rewrite_s * 1000)
        self._filled, self._pressing = asyncio.Event(), asyncio.Event()
        metrics.WRITE_BEHIND_QUEUE.set_function(lambda: len(self._queue))

    def remember(self, panel: str, user_id: str, data: msgspec.Raw) -> None:
        """Queue a panel just read. The newest of each user is kept, and the oldest dropped when too many wait."""
        queue = self._queue
        queue[panel, user_id] = Entry(_now_ms(), data)
        waiting = len(queue)
        if waiting == 1:
            self._filled.set()
        if waiting >= self._pressing_at:
            self._pressing.set()
            if waiting > self._most:
                del queue[next(iter(queue))]
                metrics.WRITE_BEHIND_LOST.labels("full").inc()

    async def recall(self, user_id: UUID, panels: Sequence[str], seconds: float) -> dict[str, Remembered]:
        """What is known of these panels; nothing when Redis does not answer in time."""
        try:
            async with asyncio.timeout(seconds):
                found = await self._reads.get([_key(panel, str(user_id)) for panel in panels])
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
        user = str(user_id)
        for panel in PANELS:
            self._queue.pop((panel.name, user), None)
            self._written.forget((panel.name, user))
        try:
            async with asyncio.timeout(self._settings.redis_write_timeout_s):
                await self._redis.delete(*(_key(panel.name, user) for panel in PANELS))
        except (RedisError, OSError, TimeoutError) as failure:
            log.warning("last known panels cannot be removed; they expire", user_id=user, reason=repr(failure))

    async def write_behind(self) -> None:
        """Write what is queued, until cancelled."""
        while True:
            await self._gather()
            queued, size = self._take(), self._settings.write_behind_batch
            try:
                for start in range(0, len(queued), size):
                    part = queued[start : start + size]
                    await self._write({key: entry for key, entry in part if self._is_due(key, entry)})
            except (RedisError, OSError, TimeoutError) as failure:
                self._written.clear()  # Redis may have come back empty
                metrics.WRITE_BEHIND_LOST.labels("redis").inc(len(queued))
                log.warning("last known panels cannot be written", panels=len(queued), reason=repr(failure))
                await asyncio.sleep(self._settings.redis_write_timeout_s)

    async def _gather(self) -> None:
        """Until there is something, and it has had the time to become much."""
        await self._filled.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.write_behind_pause_s):
                await self._pressing.wait()

    def _take(self) -> list[tuple[Key, Entry]]:
        queued, self._queue = list(self._queue.items()), {}
        self._filled.clear()
        self._pressing.clear()
        return queued

    def _is_due(self, key: Key, entry: Entry) -> bool:
        """Most panels are as they were written last. A dashboard that was under way while its user was deleted must
        not bring them back."""
        return self._written.is_due(key, entry.data, entry.at) and not self._is_gone(UUID(key[1]))

    async def _write(self, batch: dict[Key, Entry]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for (panel, user_id), entry in batch.items():
            pipeline.set(_key(panel, user_id), msgspec.json.encode(entry), ex=self._settings.last_known_good_max_age_s)
        async with asyncio.timeout(self._settings.redis_write_timeout_s):
            await (pipeline.execute() if batch else asyncio.sleep(0))  # only to look at many takes its time, too


def _recalled(value: bytes | str) -> Remembered:
    entry = _entries.decode(value)
    return Remembered(entry.data, max(0, _now_ms() - entry.at))


def _now_ms() -> int:
    return int(time.time() * 1000)
