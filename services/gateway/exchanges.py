"""How long the exchanges with a service take, by panel. What was not sent is no exchange, and is not measured."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.gateway import metrics
from services.gateway.failures import NotAsked, UpstreamFailed
from services.gateway.hedging import Latencies
from shared import tracing


class Exchanges:
    """Measures those for one panel; `slow_s` is how long one takes that counts as failed."""

    def __init__(self, panel: str, slow_s: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._slow_s = slow_s
        self._clock = clock
        self._latencies = Latencies()
        self._seconds = metrics.PANEL_SECONDS.labels(panel)
        self._sizes = metrics.BATCH_SIZE.labels(panel)

    @property
    def p95(self) -> float | None:
        """Seconds that 95 % of the latest answers did not exceed; None before enough has been seen."""
        return self._latencies.p95

    @contextmanager
    def measured(self, users: int) -> Iterator[None]:
        """Measure the exchange that is made within the block."""
        began = self._clock()
        try:
            yield
        except NotAsked:
            raise
        except asyncio.CancelledError:
            self._broken_off(users, self._clock() - began)
            raise
        except UpstreamFailed:
            self._took(users, self._clock() - began)
            raise
        else:
            seconds = self._clock() - began
            self._latencies.observe(seconds)
            self._took(users, seconds)

    def _broken_off(self, users: int, seconds: float) -> None:
        """The answer would have taken longer than this: that tells something only if this is long."""
        if self.p95 is not None and seconds > self.p95:
            self._latencies.observe(seconds)
        if seconds >= self._slow_s():
            self._took(users, seconds)

    def _took(self, users: int, seconds: float) -> None:
        self._sizes.observe(users)
        self._seconds.observe(seconds, tracing.exemplar())
