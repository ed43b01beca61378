"""Rate limits: who is counted, against what, and where.

Reads and streams are counted in memory, and told to Redis behind; what changes something, and every login, is counted
in Redis at once. A user's requests are counted by user, all others by address.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from http import HTTPStatus

from redis.asyncio import Redis
from starlette.types import Receive, Scope

from services.gateway import metrics
from services.gateway.admission.accounts import ReadBody, accounts_in, read_body
from services.gateway.admission.counts import AWAY, SharedCounts
from services.gateway.admission.kinds import Kind
from services.gateway.admission.local import LocalWindow, Report
from services.gateway.admission.policy import Policy
from services.gateway.admission.visits import Visit, current_visit
from services.gateway.errors import RateLimited
from services.gateway.settings import Settings
from shared.identity import Caller

ACCOUNT = "login-account"
ANONYMOUS = "anonymous"


class Limits:
    """`counts` says whether Redis takes part."""

    REPORTS_AT_ONCE = 500

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self.counts = SharedCounts(redis, settings.redis_url, settings.redis_timeout_s, settings.limits_redis_pause_s)
        self._local = _windows(settings)
        self._shared = _policies(settings)
        self._anonymous = self._local.get(ANONYMOUS)
        self._account = Policy.parse(ACCOUNT, settings.limit_login_account)
        self._refunds: list[tuple[str, int]] = []

    async def arrive(self, visit: Visit, scope: Scope, receive: Receive, knows: Callable[[Scope], bool]) -> Receive:
        """Count what is counted by address. Returns how the body is received from now on. Raises `RateLimited`.

        `knows` tells whether a request carries a token that has been verified before: such are not refused for what
        strangers at the same address do.
        """
        if visit.kind == "login":
            await self._count_shared(visit, "login", visit.party)
            return await self._login(visit, scope, receive)
        if visit.kind == "registration":
            await self._count_shared(visit, "registration", visit.party)
        elif self._anonymous and self._anonymous.spent and not knows(scope):
            self._refuse_spent(visit, self._anonymous)
        return receive

    async def admit(self, caller: Caller) -> None:
        """Count the request that is being answered against its caller, once. Raises `RateLimited`."""
        visit = current_visit.get()
        if visit is None or visit.is_counted:
            return
        visit.is_counted = True
        window = self._local.get(visit.kind)
        if window is not None:
            self._count_local(visit, window, caller.user_id)
        elif visit.kind in self._shared:
            await self._count_shared(visit, visit.kind, str(caller.user_id))

    def answered(self, visit: Visit, status: int) -> None:
        """Count a request whose caller nobody knows; forget a login with the right password, which was no guess."""
        if not visit.is_counted and self._anonymous:
            visit.is_counted, now = True, time.time()
            left = self._anonymous.take(visit.party, now)
            visit.headers = self._anonymous.policy.told(left, now)
        if visit.refund and status == HTTPStatus.OK:
            self._refunds.append(visit.refund)

    async def reconcile(self) -> None:
        """Tell Redis what was counted here, and hear what others have counted, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.limits_report_s)
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
        for window in self._local.values():
            reports = window.reports(time.time())
            for start in range(0, len(reports), self.REPORTS_AT_ONCE):
                await self._exchange(window, reports[start : start + self.REPORTS_AT_ONCE])
        async with asyncio.timeout(self._settings.redis_write_timeout_s):
            await self._redis.ping()

    async def _exchange(self, window: LocalWindow, reports: list[Report]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for report in reports:
            pipeline.incrby(report.key, report.more)
            pipeline.expire(report.key, window.policy.seconds)
        async with asyncio.timeout(self._settings.redis_write_timeout_s):
            answers = await pipeline.execute()
        for report, everywhere in zip(reports, answers[::2], strict=True):
            window.hear(report, everywhere)

    async def _login(self, visit: Visit, scope: Scope, receive: Receive) -> Receive:
        if self._account is None:
            return receive
        messages = await read_body(receive, self._settings.pass_through_timeout_s)
        for account in await accounts_in(scope, ReadBody(messages, receive)):
            await self._add(visit, self._account, account)
            visit.refund = _key(self._account, account, time.time()), self._account.seconds
        return ReadBody(messages, receive)

    def _refuse_spent(self, visit: Visit, window: LocalWindow) -> None:
        now = time.time()
        if window.is_spent(visit.party, now):
            _refuse(visit, window.policy, now)

    def _count_local(self, visit: Visit, window: LocalWindow, who: Hashable) -> None:
        now = time.time()
        left = window.take(who, now)
        policy = window.policy
        if left < 0:
            _refuse(visit, policy, now)
        visit.headers = policy.header, (b"ratelimit", policy.line % (left, window.ends - now + 1))

    async def _count_shared(self, visit: Visit, name: Kind, who: str) -> None:
        visit.is_counted = True
        if (policy := self._shared.get(name)) is not None:
            await self._add(visit, policy, who)

    async def _add(self, visit: Visit, policy: Policy, who: str) -> None:
        now = time.time()
        used = await self.counts.add(_key(policy, who, now), policy.seconds)
        if used > policy.amount:
            _refuse(visit, policy, now)
        visit.headers = policy.told(policy.amount - used, now)


def _windows(settings: Settings) -> dict[str, LocalWindow]:
    told = {
        "read": settings.limit_read,
        "stream": settings.limit_stream,
        ANONYMOUS: settings.limit_anonymous,
    }
    policies = (Policy.parse(name, notation) for name, notation in told.items())
    return {policy.name: LocalWindow(policy) for policy in policies if policy}


def _policies(settings: Settings) -> dict[Kind, Policy]:
    told: dict[Kind, str] = {
        "write": settings.limit_write,
        "upload": settings.limit_upload,
        "batch": settings.limit_batch,
        "login": settings.limit_login_address,
        "registration": settings.limit_registration,
    }
    return {name: policy for name, notation in told.items() if (policy := Policy.parse(name, notation))}


def _key(policy: Policy, who: str, now: float) -> str:
    return f"{policy.name}:{policy.window(now)[0]}:{who}"


def _refuse(visit: Visit, policy: Policy, now: float) -> None:
    metrics.LIMITED.labels(policy.name).inc()
    visit.is_counted = True
    visit.refund = None
    again = (b"retry-after", b"%d" % (policy.window(now)[1] + 1))
    visit.headers = (*policy.told(0, now), again)
    raise RateLimited(
        f"{policy.name}: at most {policy.amount} in {policy.seconds} s; Retry-After says when to try again"
    )
