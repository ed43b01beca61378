"""Sessions and users whose access tokens count no longer, though they have not expired.

Redis tells every gateway of it. When Redis cannot be asked, tokens are taken as they are: they live minutes, their
refresh tokens are dead already, and a cache must not be able to sign everybody out.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway import metrics
from services.gateway.gathered_keys import GatheredKeys
from services.gateway.settings import Settings
from shared.identity import Caller
from shared.logs import get_logger

log = get_logger(__name__)

LOOK_AT_MOST = 500
"""Callers of whom Redis is asked in one command."""


def _session_key(session_id: UUID | None) -> str:
    return f"revoked:session:{session_id}"


def _user_key(user_id: UUID) -> str:
    return f"revoked:user:{user_id}"


class Revocations:
    """Kept here at once and in Redis for all, as long as a revoked token could still be valid."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._marks = GatheredKeys(redis, settings.redis_timeout_s)
        self._write_timeout_s = settings.redis_write_timeout_s
        self._ttl_s = settings.access_token_ttl_s + int(settings.token_leeway_s) + 1
        self._here: dict[UUID | None, float] = {}
        """What was revoked through this gateway: ids of sessions and users, and when that can be forgotten."""

    async def end_session(self, caller: Caller) -> None:
        await self._revoke(caller.session_id, _session_key(caller.session_id))

    async def end_user(self, caller: Caller) -> None:
        await self._revoke(caller.user_id, _user_key(caller.user_id))

    def knows(self, caller: Caller) -> bool:
        """Whether this gateway itself has revoked the caller's tokens."""
        return caller.session_id in self._here or caller.user_id in self._here

    async def is_revoked(self, caller: Caller) -> bool:
        """Whether any gateway has revoked the caller's tokens; false when Redis does not answer in time."""
        try:
            marked = any(await self._marks.get([_session_key(caller.session_id), _user_key(caller.user_id)]))
        except (RedisError, OSError, TimeoutError) as failure:
            metrics.REVOCATION_FAILURES.labels("read").inc()
            log.debug("revocations cannot be checked; the token is accepted", reason=repr(failure))
            marked = False
        return marked or self.knows(caller)

    async def revoked_among(self, callers: Collection[Caller]) -> set[Caller]:
        """Those of the callers whose tokens any gateway has revoked; of Redis' part, none when it does not answer."""
        revoked = {caller for caller in callers if self.knows(caller)}
        others = [caller for caller in callers if caller not in revoked]
        for start in range(0, len(others), LOOK_AT_MOST):
            some = others[start : start + LOOK_AT_MOST]
            keys = [key for one in some for key in (_session_key(one.session_id), _user_key(one.user_id))]
            try:
                async with asyncio.timeout(self._write_timeout_s):
                    marks = await self._redis.mget(keys)
            except (RedisError, OSError, TimeoutError) as failure:
                metrics.REVOCATION_FAILURES.labels("read").inc()
                log.warning("revocations not known", reason=repr(failure))
                break
            pairs = zip(marks[::2], marks[1::2], strict=True)
            revoked |= {one for one, pair in zip(some, pairs, strict=True) if pair != (None, None)}
        return revoked

    async def revoked_users(self, user_ids: Sequence[UUID]) -> set[UUID]:
        """Those of these users who have been revoked. Raises what Redis raises."""
        marks = await self._redis.mget([_user_key(user_id) for user_id in user_ids])
        return {
            user_id for user_id, mark in zip(user_ids, marks, strict=True) if mark is not None or user_id in self._here
        }

    async def _revoke(self, revoked: UUID | None, key: str) -> None:
        self._drop_expired()
        self._here[revoked] = time.monotonic() + self._ttl_s
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await self._redis.set(key, b"1", ex=self._ttl_s)
        except (RedisError, OSError, TimeoutError) as failure:
            metrics.REVOCATION_FAILURES.labels("write").inc()
            log.warning("a revocation is known to this gateway alone", key=key, reason=repr(failure))

    def _drop_expired(self) -> None:
        now = time.monotonic()
        self._here = {revoked: ends for revoked, ends in self._here.items() if ends > now}
