"""Rate limits: which counter applies to a request, and where it is counted.

Reads and streams are counted in memory, and reported to Redis afterwards; changes and sign-ins are counted in Redis
directly. A user's requests are counted by user, all others by address.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from redis.asyncio import Redis
from starlette.types import Receive, Scope

from services.gateway import metrics
from services.gateway.errors import RateLimited
from services.gateway.limits.client_ip import ClientAddresses
from services.gateway.limits.load_shedding import RouteClass
from services.gateway.limits.redis_counter import AWAY, SharedCounts
from services.gateway.limits.windows import CounterReport, LocalWindow, Policy
from services.gateway.settings import Settings, Tuning
from shared.http.identity import Caller

KIND = "limits.kind"
"""The class of the route; absent for probes."""
COUNTED = "limits.counted"
"""Set once the request has been counted."""
HEADERS = "limits.headers"
"""The rate limit headers of the response."""
REFUND = "limits.refund"
"""What a successful sign-in gives back: a key, and the seconds of its window."""

ACCOUNT = "login-account"
RESET = "reset-account"
ANONYMOUS = "anonymous"
SUCCESS = 2
PROBE, PROBE_KEPT_S = "limits-probe", 60


class Limiter:
    """`counts` says whether Redis is used."""

    REPORTS_AT_ONCE = 50

    def __init__(self, redis: Redis | None, addresses: ClientAddresses, settings: Settings, tuning: Tuning) -> None:
        self._addresses = addresses
        self._redis = redis
        self._tuning = tuning
        self.counts = SharedCounts(redis, settings.redis_url, tuning.redis_timeout_s, tuning.limits_redis_pause_s)
        self._local = _windows(settings)
        self._shared = _policies(settings)
        self._anonymous = self._local.get(ANONYMOUS)
        self._account = Policy.parse(ACCOUNT, settings.limit_login_account)
        self._resets = Policy.parse(RESET, settings.limit_login_account)
        self._refunds: list[tuple[str, int]] = []

    def refuse_strangers(self, scope: Scope, knows: Callable[[Scope], bool]) -> None:
        """Raises `RateLimited` if requests without a valid token have used up the limit of their address.

        `knows` returns whether a request carries a token that has been verified before: such requests are not limited
        by what strangers at the same address do.
        """
        anonymous = self._anonymous
        if anonymous is None or not anonymous.spent or knows(scope):
            return
        now = time.time()
        if anonymous.is_spent(self._addresses.party(scope), now):
            _refuse(scope, anonymous.policy, now)

    async def count_address(self, scope: Scope, receive: Receive) -> Receive:
        """Count a sign-in, a registration or a recovery against its address; return the `receive` of its body. Raises
        `RateLimited`."""
        await self._count_shared(scope, scope[KIND], self._addresses.party(scope))
        return receive

    def take_read(self, caller: Caller) -> bytes | None:
        """Count a read; return its rate limit headers as lines. Returns None, and counts nothing, if it exceeds the
        limit."""
        window = self._local.get("read")
        if window is None:
            return b""
        now, who = time.time(), caller.user_id.int
        if window.is_spent(who, now):
            return None
        left = window.take(who, now)
        return window.policy.lines % (left, window.ends - now + 1)

    def count(self, scope: Scope, caller: Caller) -> Coroutine[Any, Any, None] | None:
        """Count a request against its caller, once; the result must be awaited. Raises `RateLimited`."""
        if KIND not in scope or COUNTED in scope:
            return None
        scope[COUNTED] = True
        kind: RouteClass = scope[KIND]
        window = self._local.get(kind)
        if window is None:
            return self._count_shared(scope, kind, str(caller.user_id)) if kind in self._shared else None
        now = time.time()
        left = window.take(caller.user_id.int, now)
        policy = window.policy
        if left < 0:
            _refuse(scope, policy, now)
        scope[HEADERS] = policy.header, (b"ratelimit", policy.line % (left, window.ends - now + 1))
        return None

    @property
    def counts_accounts(self) -> bool:
        """Return whether attempts at an account's password are limited."""
        return self._account is not None

    async def attempt(self, scope: Scope, account: str) -> None:
        """Count an attempt at the password of that account (a digest), until `answered` takes it back. Raises
        `RateLimited`."""
        if self._account is None:
            return
        given_back = _key(self._account, account, time.time()), self._account.seconds
        try:
            await self._add(scope, self._account, account)
        except RateLimited:
            self._refunds.append(given_back)  # no password was tried
            raise
        scope[REFUND] = given_back

    async def count_reset(self, scope: Scope, account: str) -> None:
        """Count a requested password reset of that account (a digest). Raises `RateLimited`."""
        if self._resets is not None:
            await self._add(scope, self._resets, account)

    def answered(self, scope: Scope, status: int) -> None:
        """Count a request without a known caller; give back an attempt with the correct password, which was not a
        guess."""
        if COUNTED not in scope and self._anonymous is not None:
            now = time.time()
            left = self._anonymous.take(self._addresses.party(scope), now)
            scope[HEADERS] = self._anonymous.policy.headers(left, now)
        if REFUND in scope and status // 100 == SUCCESS:
            self._refunds.append(scope[REFUND])

    async def reconcile(self) -> None:
        """Report local counts to Redis, and read the counts of other gateways. Runs until cancelled."""
        while True:
            await asyncio.sleep(self._tuning.limits_report_s)
            try:
                await self._report()
            except AWAY as failure:
                self.counts.failed(failure)
            else:
                self.counts.answered()

    async def _report(self) -> None:
        refunds, self._refunds = self._refunds, []
        for key, seconds in refunds:
            await self.counts.add(key, seconds, -1)
        if (redis := self._redis) is None:
            return
        for window in self._local.values():
            reports = window.reports(time.time())
            for start in range(0, len(reports), self.REPORTS_AT_ONCE):
                await self._exchange(redis, window, reports[start : start + self.REPORTS_AT_ONCE])
        async with asyncio.timeout(self._tuning.redis_write_timeout_s):
            await redis.set(PROBE, b"", ex=PROBE_KEPT_S)  # a Redis that is full also answers PING

    async def _exchange(self, redis: Redis, window: LocalWindow, reports: list[CounterReport]) -> None:
        pipeline = redis.pipeline(transaction=False)
        for report in reports:
            pipeline.incrby(report.key, report.more)
            pipeline.expire(report.key, window.policy.seconds)
        async with asyncio.timeout(self._tuning.redis_write_timeout_s):
            answers = await pipeline.execute()
        for report, everywhere in zip(reports, answers[::2], strict=True):
            window.hear(report, everywhere)

    async def _count_shared(self, scope: Scope, name: RouteClass, who: str) -> None:
        scope[COUNTED] = True
        if (policy := self._shared.get(name)) is not None:
            await self._add(scope, policy, who)

    async def _add(self, scope: Scope, policy: Policy, who: str) -> None:
        now = time.time()
        used = await self.counts.add(_key(policy, who, now), policy.seconds)
        if used > policy.amount:
            _refuse(scope, policy, now)
        scope[HEADERS] = policy.headers(policy.amount - used, now)


def _windows(settings: Settings) -> dict[str, LocalWindow]:
    notations = {
        "read": settings.limit_read,
        "stream": settings.limit_stream,
        ANONYMOUS: settings.limit_anonymous,
    }
    policies = (Policy.parse(name, notation) for name, notation in notations.items())
    return {policy.name: LocalWindow(policy) for policy in policies if policy}


def _policies(settings: Settings) -> dict[RouteClass, Policy]:
    notations: dict[RouteClass, str] = {
        "write": settings.limit_write,
        "upload": settings.limit_upload,
        "batch": settings.limit_batch,
        "login": settings.limit_login_address,
        "registration": settings.limit_registration,
        "recovery": settings.limit_registration,
    }
    return {name: policy for name, notation in notations.items() if (policy := Policy.parse(name, notation))}


def _key(policy: Policy, who: str, now: float) -> str:
    return f"{policy.name}:{policy.window(now)[0]}:{who}"


def _refuse(scope: Scope, policy: Policy, now: float) -> None:
    metrics.LIMITED.labels(policy.name).inc()
    scope[COUNTED] = True
    scope.pop(REFUND, None)
    again = (b"retry-after", b"%d" % (policy.window(now)[1] + 1))
    scope[HEADERS] = (*policy.headers(0, now), again)
    raise RateLimited(
        f"{policy.name}: at most {policy.amount} in {policy.seconds} s; retry after the time in Retry-After"
    )
