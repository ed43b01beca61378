"""Sessions, API keys and users that are revoked while a gateway may still remember their tokens or keys.

Every gateway writes its revocations into one Redis stream and follows that stream, so it learns of the others' within
milliseconds, and requests need no lookup. The users service stores all of them in its database (`ended.py`), which
every gateway reads twice a second: that covers revocations that no gateway has made, and the loss of Redis.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import cast
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway import metrics
from services.gateway.settings import Settings, Tuning
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import BadAnswer, UpstreamFailed
from services.gateway.upstream.responses import read_limited
from shared.contracts import internal_api
from shared.http.api_keys import MEMORY_S
from shared.http.identity import Caller
from shared.http.tokens import CLOCK_SKEW_S
from shared.observability.logs import get_logger

log = get_logger(__name__)

STREAM = "revoked"
"""One entry per revocation: a field `session` (also for an API key) or `user` with the id."""
READ_AGAIN_MS = 10_000
"""How far back the stream is read again after a pause: a Redis replica that took over may have lagged."""
TRIM_MARGIN_S = 60
"""Entries outlive tokens and remembered keys by this time, because clocks differ."""
MAX_READ = 10_000

Entry = tuple[bytes, Mapping[bytes, bytes]]
"""An entry as redis-py returns it: its id and its fields."""
OnUserGone = Callable[[UUID], Awaitable[None]]


class NotHeard(Exception):
    """A token that another gateway has revoked is accepted here."""


class Revocations:
    """Kept here as long as a revoked token could still be valid, or a revoked key be remembered; sent to all other
    gateways through Redis, if there is one."""

    def __init__(self, redis: Redis | None, settings: Settings, tuning: Tuning) -> None:
        self._redis = redis
        self._write_timeout_s = tuning.redis_write_timeout_s
        self._retry_s = tuning.redis_retry_s
        self._block_s = tuning.revocation_block_s
        self._ttl_s = max(settings.access_token_ttl_s, MEMORY_S) + int(CLOCK_SKEW_S) + 1
        self._revoked: dict[UUID, float] = {}
        """Ids of sessions, API keys and users, and when each can be forgotten."""
        self._on_user_gone: list[OnUserGone] = []
        self._more = asyncio.Event()
        self._deaf: str | None = None
        """Why the revocations of other gateways cannot be read now."""

    def on_user_gone(self, callback: OnUserGone) -> None:
        """Call `callback` with each user whose tokens another gateway has revoked."""
        self._on_user_gone.append(callback)

    def knows(self, caller: Caller) -> bool:
        """Return whether the caller's tokens or key have been revoked, as far as this gateway knows."""
        revoked = self._revoked
        return bool(revoked) and (caller.session_id in revoked or caller.user_id in revoked)

    def knows_user(self, user_id: UUID) -> bool:
        return user_id in self._revoked

    async def check(self) -> None:
        """For readiness: raises while revocations can be neither sent to other gateways nor received from them."""
        if self._deaf:
            raise NotHeard(f"revocations of other gateways cannot be read: {self._deaf}")
        if self._redis is not None:
            await self._redis.xlen(STREAM)  # a key of another type accepts none

    async def end_session(self, session_id: UUID) -> None:
        """Revoke a session, or an API key."""
        await self._revoke(session_id, "session")

    async def end_user(self, user_id: UUID) -> None:
        await self._revoke(user_id, "user")

    async def more(self) -> None:
        """Return once something has been revoked since the last call."""
        await self._more.wait()
        self._more.clear()

    async def hear(self, revoked: UUID, kind: str) -> None:
        """Record a revocation from elsewhere; `kind` is `session` or `user`."""
        known = revoked in self._revoked
        self._note(revoked)
        if kind == "user" and not known:
            for tell in self._on_user_gone:
                await tell(revoked)

    async def follow(self) -> None:
        """Receive every revocation. Runs until cancelled, or returns if there is no Redis."""
        after = "0"
        while (redis := self._redis) is not None:
            try:
                after = await self._read(redis, after)
                self._deaf = None
            except (RedisError, OSError, TimeoutError) as failure:
                metrics.REVOCATION_FAILURES.labels("read").inc()
                log.warning("revocations of other gateways cannot be received", reason=repr(failure))
                after, self._deaf = _earlier(after), repr(failure)
                await asyncio.sleep(self._retry_s)

    async def _read(self, redis: Redis, after: str) -> str:
        """Process the entries after that one, waiting for a moment; returns the last entry's id."""
        async with asyncio.timeout(self._block_s + self._write_timeout_s):
            streams = await redis.xread({STREAM: after}, count=MAX_READ, block=int(self._block_s * 1000))
        for _, entries in cast("list[tuple[bytes, list[Entry]]]", streams):
            for entry_id, fields in entries:
                await self._hear_entry(fields)
                after = entry_id.decode()
        return after

    async def _hear_entry(self, fields: Mapping[bytes, bytes]) -> None:
        for kind, value in fields.items():
            try:
                revoked = UUID(value.decode())
            except ValueError:
                log.warning("revocation without an id", kind=repr(kind))
                continue
            await self.hear(revoked, kind.decode(errors="replace"))

    async def _revoke(self, revoked: UUID, kind: str) -> None:
        self._note(revoked)
        if self._redis is None:
            return
        oldest_ms = int((time.time() - self._ttl_s - TRIM_MARGIN_S) * 1000)
        try:
            async with asyncio.timeout(self._write_timeout_s):
                pipeline = self._redis.pipeline(transaction=False)
                pipeline.xadd(STREAM, {kind: str(revoked)}, minid=str(oldest_ms))
                pipeline.expire(STREAM, self._ttl_s + TRIM_MARGIN_S)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as failure:
            metrics.REVOCATION_FAILURES.labels("write").inc()
            log.warning("revocation is known to this gateway only", kind=kind, id=str(revoked), reason=repr(failure))

    def _note(self, revoked: UUID) -> None:
        now = time.monotonic()
        while self._revoked and next(iter(self._revoked.values())) < now:
            del self._revoked[next(iter(self._revoked))]
        self._revoked.pop(revoked, None)  # they are ordered by expiry
        self._revoked[revoked] = now + self._ttl_s
        self._more.set()


def _earlier(after: str) -> str:
    return str(max(0, int(after.partition("-")[0]) - READ_AGAIN_MS))


EVERY_S = 0.4
"""A revocation must take effect on every gateway within a second."""
TIMEOUT_S = 2.0
MAX_BYTES = 1024 * 1024

_decode = msgspec.json.Decoder(internal_api.Revocations).decode


class NotRead(Exception):
    """A token whose session has ended may be accepted here."""


class EndedSessions:
    """What has ended according to `users`, the service that has the accounts; nothing without accounts."""

    def __init__(self, users: Upstream | None, revoked: Revocations) -> None:
        self.users = users
        self._revoked = revoked
        self._after = 0
        self._reading = asyncio.Lock()
        self._failure: str | None = None
        """Why the last read failed."""

    async def check(self) -> None:
        """For readiness. Raises `NotRead`."""
        if self._failure:
            raise NotRead(f"ended sessions cannot be read from the users service: {self._failure}")

    async def follow(self) -> None:
        """Keep `Revocations` complete. Runs until cancelled."""
        while True:
            await self.read()
            await asyncio.sleep(EVERY_S)

    async def read(self) -> None:
        """Read everything that has ended so far. A failure is logged and counted; the next read catches up."""
        try:
            async with asyncio.timeout(TIMEOUT_S), self._reading:
                while self.users is not None and await self._page(self.users):
                    pass
        except (UpstreamFailed, TimeoutError) as failure:
            metrics.REVOCATION_FAILURES.labels("users").inc()
            if not self._failure:
                log.warning("revocations cannot be read from the users service", reason=repr(failure))
            self._failure = repr(failure)
        else:
            self._failure = None

    async def _page(self, users: Upstream) -> bool:
        """Return whether there is another page."""
        found = await self._ask(users)
        for session in found.sessions:
            await self._revoked.hear(session, "session")
        for user in found.users:
            await self._revoked.hear(user, "user")
        more = len(found.sessions) + len(found.users) >= internal_api.MAX_PAGE and found.cursor > self._after
        self._after = found.cursor
        return more

    async def _ask(self, users: Upstream) -> internal_api.Revocations:
        target = f"{internal_api.REVOCATIONS_PATH}?after={self._after}"
        response = await users.send("GET", target, [], b"", TIMEOUT_S)
        try:
            body = await read_limited(response, MAX_BYTES)
        finally:
            await response.aclose()
        try:
            return _decode(body)
        except msgspec.DecodeError as broken:
            raise BadAnswer(f"status {response.status_code}: {broken}") from broken
