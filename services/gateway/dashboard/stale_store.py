"""Last known good panels, in Redis. Optional: without it dashboards work, but are never `stale`.

Values never go back in time: an earlier read does not replace a later one, of this or another gateway. Redis compares
them by its own clock, because those of the gateways differ.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import cast
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway import metrics
from services.gateway.dashboard.models import Remembered
from services.gateway.dashboard.write_behind import Key, PanelRead, WriteBehindQueue
from services.gateway.panels import Panel
from services.gateway.settings import Tuning
from shared.observability.logs import get_logger

log = get_logger(__name__)

WRITE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local refused = {}
for number, key in ipairs(KEYS) do
  local asked = now - ARGV[2 * number]
  local known = redis.pcall('GET', key)
  local before = type(known) == 'string' and tonumber(string.match(known, '^{"asked":(%d+),'))
  if before and asked < before and before <= now then
    refused[#refused + 1] = number
  else
    local entry = string.format('{"asked":%.0f,', asked) .. ARGV[2 * number + 1]
    redis.call('SET', key, entry, 'EX', ARGV[1])
  end
end
return refused
"""
"""For each key, how long ago it was requested (milliseconds), and its entry after the brace. Returns which ones are
older than the stored values; the first is 1."""
MAX_QUEUED = 10_000
"""Panels that may wait to be written to Redis; the oldest are dropped."""
WRITTEN_AT_ONCE = 20
MAX_NOTED = 50_000
"""The number of panels whose last written version is remembered."""
SLICE_S = 0.001
"""How long it may process the queue before other tasks run."""
IsGone = Callable[[UUID], bool]


class Entry(msgspec.Struct, frozen=True):
    """A panel and when it was requested (Unix milliseconds)."""

    at: int
    data: msgspec.Raw


_entries = msgspec.json.Decoder(Entry)


class Written:
    """The last written value of each panel and user, for a limited number of them: a digest, and when it was written
    (Unix milliseconds)."""

    def __init__(self, max_noted: int, rewrite_ms: float) -> None:
        self._max_noted = max_noted
        self._rewrite_ms = rewrite_ms
        self._noted: OrderedDict[Key, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._noted)

    def is_due(self, key: Key, data: bytes, now_ms: int) -> bool:
        """Return whether it must be written now, and if so record that."""
        digest = hash(data)
        known = self._noted.get(key)
        if known and known[0] == digest and 0 <= now_ms - known[1] < self._rewrite_ms:
            return False
        self._noted[key] = digest, now_ms
        self._noted.move_to_end(key)
        if len(self._noted) > self._max_noted:
            self._noted.popitem(last=False)
        return True

    def forget(self, key: Key) -> None:
        self._noted.pop(key, None)

    def clear(self) -> None:
        self._noted.clear()


Value = bytes | str | None
Wanted = tuple[Sequence[str], asyncio.Future[Sequence[Value]]]


class BatchedGet:
    """Reads Redis keys for many requests at a time: keys requested during one MGET are read by the next.

    Each caller waits at most `timeout_s`, including the time in which their keys wait for the next batch.
    """

    def __init__(self, redis: Redis, timeout_s: float) -> None:
        self._redis = redis
        self._timeout_s = timeout_s
        self._wanted: list[Wanted] = []
        self._reading: asyncio.Task[None] | None = None

    async def get(self, keys: Sequence[str]) -> Sequence[Value]:
        """Return the values of these keys. Raises Redis errors, and `TimeoutError`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[Value]] = loop.create_future()
        self._wanted.append((keys, answer))
        if self._reading is None:
            self._reading = loop.create_task(self._read_all())
        async with asyncio.timeout(self._timeout_s):
            return await answer

    async def _read_all(self) -> None:
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, []
                await self._read(wanted)
        finally:
            self._reading = None

    async def _read(self, wanted: list[Wanted]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                values = await self._redis.mget([key for keys, _ in wanted for key in keys])
        except Exception as failure:  # each waiting caller raises it
            for _, answer in wanted:
                if not answer.done():
                    answer.set_exception(failure)
            return
        at = 0
        for keys, answer in wanted:
            if not answer.done():
                answer.set_result(values[at : at + len(keys)])
            at += len(keys)


class StaleStore:
    """Writes behind in batches, off the request path; reads only panels that failed, for many requests at a time.

    Without Redis it stores nothing, and knows nothing.
    """

    def __init__(
        self, redis: Redis | None, panels: tuple[Panel, ...], max_age_s: int, tuning: Tuning, is_gone: IsGone
    ) -> None:
        self._redis = redis
        self._panels: dict[str, str] = {}
        self._max_age_s = max_age_s
        self._tuning = tuning
        self._is_gone = is_gone
        self._reads = BatchedGet(redis, tuning.redis_timeout_s) if redis is not None else None
        self._queue = WriteBehindQueue(max(1, MAX_QUEUED // max(1, len(panels))))
        self._written = Written(MAX_NOTED, tuning.last_known_good_rewrite_s * 1000)
        self.use(panels)
        metrics.WRITE_BEHIND_QUEUE.set_function(lambda: len(self._queue))

    def use(self, panels: tuple[Panel, ...]) -> None:
        """Store these panels from now on. If they differ, values that wait to be written are dropped."""
        stored_as = {panel.name: panel.stored_as for panel in panels}
        if self._panels and stored_as != self._panels:
            self._queue.clear()
        self._panels = stored_as
        self._written.clear()

    def remember(self, user_id: str, panels: Mapping[str, bytes], asked: float) -> None:
        """Queue panels that were requested then (monotonic seconds). Of each user's panels, the most recent request is
        kept."""
        if self._redis is None:
            return
        at_ms = _now_ms() - int((time.monotonic() - asked) * 1000)
        lost = self._queue.put(user_id, asked, at_ms, panels)
        if lost:
            metrics.WRITE_BEHIND_LOST.labels("full").inc(lost)

    async def recall(self, user_id: str, panels: Sequence[str], seconds: float) -> dict[str, Remembered]:
        """Return the known values of these panels; none if Redis does not respond in time."""
        if self._reads is None:
            return {}
        try:
            async with asyncio.timeout(seconds):
                found = await self._reads.get([self._key(panel, user_id) for panel in panels])
            recalled = {
                panel: _recalled(entry)
                for panel, value in zip(panels, found, strict=True)
                if (entry := _newest(value, self._queue.get((panel, user_id)))) is not None
            }
            oldest_ms = self._max_age_s * 1000
            return {panel: known for panel, known in recalled.items() if known.age_ms <= oldest_ms}
        except (RedisError, OSError, TimeoutError, msgspec.DecodeError) as failure:
            metrics.RECALL_FAILURES.inc()
            log.debug("last known good panels cannot be read", reason=repr(failure))
            return {}

    async def forget(self, user_id: UUID) -> None:
        """Delete all data about a user."""
        user = str(user_id)
        self._queue.forget(user)
        for panel in self._panels:
            self._written.forget((panel, user))
        if self._redis is None or not self._panels:
            return
        try:
            async with asyncio.timeout(self._tuning.redis_write_timeout_s):
                await self._redis.delete(*(self._key(panel, user) for panel in self._panels))
        except (RedisError, OSError, TimeoutError) as failure:
            log.warning(
                "last known good panels cannot be deleted; they will expire", user_id=user, reason=repr(failure)
            )

    async def write_behind(self) -> None:
        """Write the queue. Runs until cancelled."""
        while True:
            queued = await self._queue.take(self._tuning.write_behind_pause_s)
            try:
                await self._write_all(queued)
            except (RedisError, OSError, TimeoutError) as failure:
                self._written.clear()  # Redis may have restarted empty
                lost = sum(1 for _ in queued) + 1
                metrics.WRITE_BEHIND_LOST.labels("redis").inc(lost)
                log.warning("last known good panels cannot be written", panels=lost, reason=repr(failure))
                await asyncio.sleep(self._tuning.redis_retry_s)
            finally:
                self._queue.written()

    async def _write_all(self, queued: Iterator[tuple[Key, PanelRead]]) -> None:
        """Process in parts, yielding to the event loop in between: none blocks it for longer than `SLICE_S`."""
        batch: dict[Key, PanelRead] = {}
        began = time.perf_counter()
        for key, read in queued:
            if self._is_due(key, read):
                batch[key] = read
            if len(batch) >= WRITTEN_AT_ONCE:
                await self._write(batch)
                batch = {}
                began = time.perf_counter()
            elif time.perf_counter() - began > SLICE_S:
                await asyncio.sleep(0)
                began = time.perf_counter()
        if batch:
            await self._write(batch)

    def _is_due(self, key: Key, read: PanelRead) -> bool:
        """Return the panels that differ from the last written ones. A dashboard that was in flight while its user
        was deleted must not restore them."""
        is_declared = key[0] in self._panels
        return is_declared and self._written.is_due(key, read.data, read.at) and not self._is_gone(UUID(key[1]))

    def _key(self, panel: str, user_id: str) -> str:
        return f"lkg:{self._panels.get(panel, panel)}:{user_id}"

    async def _write(self, batch: dict[Key, PanelRead]) -> None:
        if self._redis is None:
            return
        arguments: list[bytes | int] = [self._max_age_s]
        now = time.monotonic()
        for read in batch.values():
            arguments += [
                int((now - read.asked) * 1000),
                msgspec.json.encode(Entry(read.at, msgspec.Raw(read.data)))[1:],
            ]
        keys = [self._key(panel, user_id) for panel, user_id in batch]
        async with asyncio.timeout(self._tuning.redis_write_timeout_s):
            refused = await cast("Awaitable[list[int]]", self._redis.eval(WRITE, len(keys), *keys, *arguments))
        for key in (list(batch)[number - 1] for number in refused):
            self._written.forget(key)


def _newest(written: bytes | str | None, unwritten: PanelRead | None) -> Entry | None:
    entry = None if written is None else _entries.decode(written)
    if unwritten and (entry is None or entry.at <= unwritten.at):
        return Entry(unwritten.at, msgspec.Raw(unwritten.data))
    return entry


def _recalled(entry: Entry) -> Remembered:
    return Remembered(entry.data, max(0, _now_ms() - entry.at))


def _now_ms() -> int:
    return int(time.time() * 1000)
