"""Stands between the batchers and one service: breaker, bulkhead, and a second attempt where it helps.

Only panel reads come this way. Requests that are passed through neither feed the breaker nor ask it: how long a write
or an upload takes says nothing of panel reads, and whoever waits for one is to hear from the service itself.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from services.gateway import metrics
from services.gateway.breaker import Breaker, BreakerPolicy, Verdict
from services.gateway.bulkhead import Bulkhead
from services.gateway.dashboard import Answer
from services.gateway.exchanges import Exchanges
from services.gateway.failures import BadAnswer, NotAsked, Overloaded, Refused, UpstreamFailed
from services.gateway.hedging import RetryBudget, hedged
from services.gateway.panels import PANELS, MalformedAnswer, Panel, read_answers
from services.gateway.probing import Probing
from services.gateway.upstream import Upstream
from shared import tracing
from shared.tracing import Kind


@dataclass(frozen=True)
class GuardPolicy:
    """`slow_share`: a call that takes more than this part of its panel's timeout counts as failed, answered or not.
    `hedge_min_s`: a second attempt does not start earlier, however fast the service is. `retry_share`: second
    attempts are at most this part of all. `max_panel_bytes`: of one panel of one user."""

    breaker: BreakerPolicy
    most_calls: int
    slow_share: float
    hedge_min_s: float
    retry_share: float
    max_panel_bytes: int


class Guard:
    """Asks one service for panels."""

    def __init__(
        self, service: str, upstream: Upstream, policy: GuardPolicy, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._upstream = upstream
        self._policy = policy
        self._clock = clock
        self._breaker = Breaker(service, policy.breaker, clock)
        self._probing = Probing(service, self._breaker, self._probe)
        self._bulkhead = Bulkhead(service, policy.most_calls)
        self._budget = RetryBudget(policy.retry_share)
        self._exchanges = {panel.name: Exchanges(panel.name, partial(self._slow_s, panel), clock) for panel in PANELS}

    def close(self) -> None:
        self._probing.close()

    async def ask(self, panel: Panel, user_ids: Sequence[str], deadline: float) -> Sequence[Answer]:
        """Answers in the order of the ids; the service is told the deadline (monotonic seconds). Raises
        `UpstreamFailed`, at once while the breaker is not closed."""
        self._probing.note(panel, user_ids)
        replica = self._upstream.next_replica()
        p95 = self._exchanges[panel.name].p95
        return await hedged(
            lambda number: self._traced(number, panel, user_ids, deadline, replica + number),
            None if p95 is None else max(p95, self._policy.hedge_min_s),
            self._may_repeat,
        )

    async def _probe(self, panel: Panel, user_ids: Sequence[str]) -> None:
        seconds = panel.timeout_s
        async with asyncio.timeout(seconds):
            replica = self._upstream.next_replica()
            await self._attempt(panel, user_ids, self._clock() + seconds, replica, probe=True)

    def _may_repeat(self, failure: BaseException | None) -> bool:
        if not self._is_worth_repeating(failure) or self._bulkhead.is_full or not self._budget.take():
            return False
        metrics.SECOND_ATTEMPTS.labels(self._service, "failure" if failure else "slow").inc()
        return True

    def _is_worth_repeating(self, failure: BaseException | None) -> bool:
        if isinstance(failure, NotAsked | Refused):
            return False
        return failure is None or isinstance(failure, UpstreamFailed)

    async def _traced(
        self, number: int, panel: Panel, user_ids: Sequence[str], deadline: float, replica: int
    ) -> Sequence[Answer]:
        with tracing.span(panel.call, Kind.CLIENT) as span:
            if span.recorded:
                span.set({"peer.service": self._service, "dashboard.call.users": len(user_ids)})
                span.set({"dashboard.call.attempt": number + 1})
            return await self._attempt(panel, user_ids, deadline, replica)

    async def _attempt(
        self, panel: Panel, user_ids: Sequence[str], deadline: float, replica: int, *, probe: bool = False
    ) -> Sequence[Answer]:
        verdict = Verdict(self._breaker, self._breaker.admit(probe=probe))
        slow = asyncio.get_running_loop().call_later(self._slow_s(panel), self._give, verdict, True)
        failed: bool | None = None  # a call that is broken off tells nothing, unless it was slow before
        try:
            with self._bulkhead.slot():
                self._budget.pay_in()
                with self._exchanges[panel.name].measured(len(user_ids)):
                    answers = await self._exchange(panel, user_ids, deadline - self._clock(), replica)
            failed = False
        except UpstreamFailed as failure:
            failed = None if isinstance(failure, Overloaded) else not isinstance(failure, Refused)
            raise
        finally:
            slow.cancel()
            self._give(verdict, failed)
        return answers

    def _slow_s(self, panel: Panel) -> float:
        return panel.timeout_s * self._policy.slow_share

    def _give(self, verdict: Verdict, failed: bool | None) -> None:
        verdict.give(failed)
        self._probing.wake()

    async def _exchange(
        self, panel: Panel, user_ids: Sequence[str], remaining_s: float, replica: int
    ) -> Sequence[Answer]:
        limit = self._policy.max_panel_bytes
        body = await self._upstream.ask(panel.path, user_ids, remaining_s, replica, limit * len(user_ids))
        try:
            return read_answers(panel, user_ids, body, limit)
        except MalformedAnswer as malformed:
            raise BadAnswer(str(malformed)) from malformed
