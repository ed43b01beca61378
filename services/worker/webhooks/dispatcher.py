"""Makes the due calls, host by host, so that a host that hangs delays no other.

Due deliveries are looked up without a lock; each call then takes its own row in the ledger, and skips it if another
worker was faster.

Calls are limited in total, per host and per user, and so is how often one host is called. A host that hangs holds some
of the slots, never all, and neither does one user with many of them. A host whose last call failed is unhealthy: it
gets one slot until a call succeeds, and all such hosts share half of the slots.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import asyncpg

from services.worker import metrics
from services.worker.ledger.job import CANCEL_S, Job
from services.worker.ledger.ledger import Ledger
from shared.db.engine import Database
from shared.observability.logs import get_logger
from shared.observability.pools import POOLS
from shared.server.background import to_the_end
from shared.token_bucket import TokenBucket

PER_USER = 8
"""Concurrent calls for one user."""
MAX_UNHEALTHY = 10_000
"""The number of unhealthy hosts that are remembered."""

log = get_logger(__name__)
CROWDED_PAUSE_S = 0.05
"""How soon to look again while a due call waits for its host's rate limit."""
MAX_REST_S = 0.5
"""After a search there is a pause of the same length: with thousands of hosts in the ledger it is not cheap."""

# Hosts with due deliveries are found by steps along the index, without reading one host's thousand deliveries.
FIND_DUE = """
    WITH RECURSIVE lanes AS (
        (
            SELECT lane FROM jobs WHERE job = $1 AND state = 'retrying' AND lane IS NOT NULL
                AND NOT EXISTS (SELECT FROM paused_jobs WHERE paused_jobs.job = $1)
            ORDER BY lane LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT lane FROM jobs WHERE job = $1 AND state = 'retrying' AND lane IS NOT NULL AND lane > lanes.lane
            ORDER BY lane LIMIT 1
        ) FROM lanes WHERE lanes.lane IS NOT NULL
    )
    SELECT lanes.lane, due.event_id, due.user_id FROM lanes CROSS JOIN LATERAL (
        SELECT event_id, user_id, next_attempt_at FROM jobs
        WHERE job = $1 AND state = 'retrying' AND jobs.lane IS NOT NULL AND jobs.lane = lanes.lane
            AND next_attempt_at <= now() AND user_id <> ALL($3) AND event_id <> ALL($4)
        ORDER BY next_attempt_at LIMIT $5
    ) AS due
    WHERE lanes.lane <> ALL($2)
    ORDER BY due.next_attempt_at LIMIT $6
"""


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
        self._unhealthy: dict[str, None] = {}
        self._buckets: dict[str, TokenBucket] = {}
        """The hosts' calls per second; full buckets are forgotten."""

    @property
    def free(self) -> int:
        return self.calls - self._hosts.total()

    def full_hosts(self, now: float) -> list[str]:
        """Return the hosts that may not be called now."""
        self._forget_full_buckets(now)
        known = self._hosts.keys() | self._buckets.keys() | self._unhealthy.keys()
        return [lane for lane in known if not self._host_may(lane, now)]

    def full_users(self) -> list[UUID]:
        return [user_id for user_id, calls in self._users.items() if calls >= self._per_user]

    def crowded(self, now: float) -> bool:
        """Return whether a host only has to wait for the rate limit."""
        self._forget_full_buckets(now)
        return any(self._hosts[lane] < self.per_host and not self._within_rate(lane, now) for lane in self._buckets)

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
        self._unhealthy.pop(lane, None)
        if not well:
            self._unhealthy[lane] = None
            if len(self._unhealthy) > MAX_UNHEALTHY:
                del self._unhealthy[next(iter(self._unhealthy))]

    def _host_may(self, lane: str, now: float) -> bool:
        if lane in self._unhealthy and (self._hosts[lane] or self._unhealthy_calls() >= max(1, self.calls // 2)):
            return False
        return self._hosts[lane] < self.per_host and self._within_rate(lane, now)

    def _unhealthy_calls(self) -> int:
        return sum(calls for lane, calls in self._hosts.items() if lane in self._unhealthy)

    def _within_rate(self, lane: str, now: float) -> bool:
        bucket = self._buckets.get(lane)
        return bucket is None or bucket.wait_s(now) == 0

    def _forget_full_buckets(self, now: float) -> None:
        self._buckets = {lane: bucket for lane, bucket in self._buckets.items() if not bucket.is_full(now)}


class Dispatcher:
    def __init__(
        self,
        db: Database,
        ledger: Ledger,
        job: Job,
        slots: CallSlots,
        after_call: Callable[[], None],
        interval_s: float,
        grace_s: float,
    ) -> None:
        self._db = db
        self._ledger = ledger
        self._job = job
        self._slots = slots
        self._after_call = after_call
        self._interval_s = interval_s
        self._grace_s = grace_s
        self._woken = asyncio.Event()
        self._in_hand: dict[UUID, asyncio.Task[None]] = {}
        POOLS.watch("webhook_calls", lambda: len(self._in_hand), lambda: slots.calls)

    def wake(self) -> None:
        """Signal that there may be work. Otherwise it is found a little later."""
        self._woken.set()

    async def run(self) -> None:
        """Run until cancelled; calls in flight then may finish. Raises if the database is down."""
        try:
            while True:
                began = _now()
                pause_s = await self._round()
                await asyncio.sleep(min(_now() - began, MAX_REST_S))
                await self._wait(pause_s)
        except asyncio.CancelledError:
            await to_the_end(self._finish())
            raise

    async def _round(self) -> float:
        """Start the calls that are allowed; return how long to wait for the next."""
        self._woken.clear()
        due = await self._find_due() if self._slots.free else []
        begun = [row for row in due if self._slots.take(row["lane"], row["user_id"], _now())]
        for row in begun:
            self._begin(row["event_id"], row["lane"], row["user_id"])
        if begun:
            return 0  # a full host is not looked at again, and others may be due behind it
        return min(self._interval_s, CROWDED_PAUSE_S) if self._slots.crowded(_now()) else self._interval_s

    async def _find_due(self) -> list[asyncpg.Record]:
        slots = self._slots
        busy = (slots.full_hosts(_now()), slots.full_users(), list(self._in_hand))
        async with self._db.connection() as connection:
            return await connection.fetch(FIND_DUE, self._job.name, *busy, slots.per_host, slots.calls)

    def _begin(self, delivery_id: UUID, lane: str, user_id: UUID) -> None:
        task = asyncio.create_task(self._call(delivery_id))
        self._in_hand[delivery_id] = task
        metrics.WEBHOOK_CALLS_UNDER_WAY.set(len(self._in_hand))

        def ended(_: asyncio.Task[None]) -> None:
            del self._in_hand[delivery_id]
            metrics.WEBHOOK_CALLS_UNDER_WAY.set(len(self._in_hand))
            self._slots.give_back(lane, user_id)
            self.wake()

        task.add_done_callback(ended)

    async def _call(self, delivery_id: UUID) -> None:
        """A failure here could not be recorded: the ledger has the job due again at the end of its lease."""
        try:
            await self._ledger.run_one(self._job, delivery_id)
            self._after_call()
        except Exception as error:
            log.warning(
                "outcome of a webhook call could not be recorded", delivery_id=str(delivery_id), error=repr(error)
            )
            await asyncio.sleep(self._interval_s)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _finish(self) -> None:
        for limit_s in (self._grace_s, CANCEL_S):
            if tasks := list(self._in_hand.values()):
                await asyncio.wait(tasks, timeout=limit_s)
                for task in tasks:
                    task.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()
