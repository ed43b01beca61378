"""Holds messages while the ledger cannot be written: until then no other worker could process them either."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from services.worker import metrics
from shared.observability.logs import get_logger

log = get_logger(__name__)

Work = Callable[[], Awaitable[object]]
Holds = Callable[[Exception], bool]
"""Whether an error means that the ledger cannot be written."""


def always(_: Exception) -> bool:
    return True


class Backpressure:
    """Any number of messages wait; one of them at a time tests whether the ledger can be written again."""

    def __init__(self, probe: Work, pause_s: float, limit_s: float) -> None:
        self._probe = probe
        self._pause_s = pause_s
        self._limit_s = limit_s
        self._turn = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._failing_since: float | None = None
        self._written_at = 0.0

    def stop(self) -> None:
        """Give up the held messages; work in flight may finish."""
        self._stopping.set()

    @property
    def failing_s(self) -> float:
        """For how long the ledger has not been writable, according to the last attempts."""
        return 0.0 if self._failing_since is None else _now() - self._failing_since

    async def run_when_writable(self, job: str, work: Work, holds: Holds) -> bool:
        """Return whether `work` succeeded in the end: not if the process stops, or if it keeps failing although the
        ledger can be written. Errors that are not `holds` are raised."""
        began = _now()
        while True:
            tried = _now()
            try:
                await work()
            except Exception as error:
                if not holds(error):
                    raise
                metrics.HELD.labels(job).inc()
                if self._failing_since is None:
                    log.warning("messages are held: the ledger cannot be written", job=job, error=repr(error))
            else:
                self._writable()
                return True
            if not await self._writable_since(tried) or _now() - began > self._limit_s:
                return False

    async def _writable_since(self, failed: float) -> bool:
        """Wait; returns False if the process stops."""
        if self._failing_since is None:
            self._failing_since = max(failed, self._written_at)
        if await self._stopped_within(self._pause_s):
            return False
        async with self._turn:
            while self._failing_since is not None and not self._stopping.is_set():
                with suppress(Exception):
                    await self._probe()
                    self._writable()
                    break
                await self._stopped_within(self._pause_s)
        return not self._stopping.is_set()

    def _writable(self) -> None:
        self._failing_since = None
        self._written_at = _now()

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()


def _now() -> float:
    return asyncio.get_running_loop().time()
