"""Makes the calls that are due, host by host, so that one that hangs holds up nobody else's.

What is due is looked up without a lock; each call then takes its own row in the ledger, and finds it gone when another
worker was faster.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

import asyncpg

from services.worker import metrics
from services.worker.ledger.job import CANCEL_S, Job
from services.worker.ledger.ledger import Ledger
from services.worker.webhooks.concurrency import CallSlots
from shared.db.engine import Database
from shared.observability.logs import get_logger
from shared.observability.pools import POOLS
from shared.server.background import to_the_end

log = get_logger(__name__)

CROWDED_PAUSE_S = 0.05
"""How soon it is looked again while something due has to wait for its host's pace."""
MAX_REST_S = 0.5
"""After a look there is a rest as long as it took: with thousands of hosts in the ledger it is not cheap."""

# The hosts that have anything to do are found by steps along the index: one host's thousand deliveries are not read.
FIND_DUE = """
    WITH RECURSIVE lanes AS (
        (
            SELECT lane FROM jobs WHERE job = $1 AND state = 'retrying' AND lane IS NOT NULL
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
        """There may be something to do. Without this it is found out a little later."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled; calls that are under way then may finish. Raises when the database is away."""
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
        """Begins what may begin; returns how long to wait for the next."""
        self._woken.clear()
        due = await self._find_due() if self._slots.free else []
        begun = [row for row in due if self._slots.take(row["lane"], row["user_id"], _now())]
        for row in begun:
            self._begin(row["event_id"], row["lane"], row["user_id"])
        if begun:
            return 0  # who is full now is not looked at again, and others may be due behind them
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
        """What fails here could not be recorded: the ledger has it due again at the end of its lease."""
        try:
            await self._ledger.run_one(self._job, delivery_id)
            self._after_call()
        except Exception as error:
            log.warning("a webhook's call could not be recorded", delivery_id=str(delivery_id), error=repr(error))
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
