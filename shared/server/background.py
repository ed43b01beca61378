"""Background tasks of a process: supervised, awaited at shutdown, and never lost silently."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import uniform
from types import TracebackType
from typing import Any, Self

from prometheus_client import Counter

from shared.observability.logs import get_logger


@dataclass(frozen=True)
class RestartPolicy:
    """Pauses double from the first to the longest. A task that has run for `settled_s` has recovered."""

    first_pause_s: float = 0.5
    longest_pause_s: float = 5
    settled_s: float = 5


class Failures:
    """The consecutive failures of one task."""

    MOST_DOUBLINGS = 30

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self.count = 0

    def pause_s(self) -> float:
        """Count a failure. Returns the pause before the next attempt, with jitter."""
        pause = self._policy.first_pause_s * 2.0 ** min(self.count, self.MOST_DOUBLINGS)
        self.count += 1
        return min(pause, self._policy.longest_pause_s) * uniform(0.75, 1)

    def reset(self) -> None:
        self.count = 0


RESTARTS = Counter("background_restarts_total", "Background tasks that failed and were restarted.", ["task"])

Work = Callable[[], Coroutine[Any, Any, None]]

log = get_logger(__name__)


def stop_process() -> None:
    """Ask this process to shut down gracefully."""
    os.kill(os.getpid(), signal.SIGTERM)


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Let `work` finish even if the caller is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    await task


class Permanent(Exception):
    """An error that no retry can fix. A background task that raises it stops the process at once."""


class TaskFailing(Exception):
    """A background task has failed, and has not recovered yet."""


async def until(end: Coroutine[Any, Any, None], work: Coroutine[Any, Any, None]) -> None:
    """Run the work, but stop at the end of the block."""
    tasks = [asyncio.create_task(work), asyncio.create_task(end)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Background:
    """Background tasks of one process. A task that fails is restarted after a growing pause, without a limit: an outage
    of any length of a dependency costs only that task's work. Only `Permanent` stops the process; `failure` keeps that
    exception."""

    CANCEL_AGAIN_S = 1.0
    POLICY = RestartPolicy()

    def __init__(self, on_failure: Callable[[], None] = stop_process, policy: RestartPolicy | None = None) -> None:
        self._on_failure = on_failure
        self._policy = policy or self.POLICY
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failing: dict[str, str] = {}
        self.failure: BaseException | None = None

    def start(self, name: str, work: Work) -> asyncio.Task[None]:
        """Run what `work` creates, until it ends or the block is left; `work` is called again after a failure.

        Such a task does not report success: it has recovered once it has run for `settled_s`.
        """
        loop, failures = asyncio.get_running_loop(), Failures(self._policy)

        async def settling() -> None:
            settled = loop.call_later(self._policy.settled_s, self._recovered, name, failures)
            try:
                await work()
            finally:
                settled.cancel()

        return self._supervise(name, settling, failures)

    def every(self, seconds: float, name: str, work: Work) -> asyncio.Task[None]:
        """Do the work at once, and again this many seconds after it was done, until the block is left.

        A failed attempt is repeated after a growing pause. The task has recovered when an attempt succeeds.
        """
        failures = Failures(self._policy)

        async def rounds() -> None:
            while True:
                await work()
                self._recovered(name, failures)
                await asyncio.sleep(seconds)

        return self._supervise(name, rounds, failures)

    async def check(self) -> None:
        """For readiness: raises while a task has failed and not yet recovered."""
        if self._failing:
            failing = self._failing.items()
            raise TaskFailing("; ".join(f"{name} failed and is being retried: {error}" for name, error in failing))

    def _supervise(self, name: str, work: Work, failures: Failures) -> asyncio.Task[None]:
        task = asyncio.create_task(self._keep_up(name, work, failures), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _keep_up(self, name: str, work: Work, failures: Failures) -> None:
        while True:
            try:
                await work()
            except Permanent:
                raise
            except (Exception, asyncio.CancelledError) as error:
                if _is_cancelled():
                    raise asyncio.CancelledError from error
                self._failed(name, error, first=not failures.count)
            else:
                self._recovered(name, failures)
                return
            await asyncio.sleep(failures.pause_s())

    def _failed(self, name: str, error: BaseException, *, first: bool) -> None:
        RESTARTS.labels(name).inc()
        self._failing[name] = repr(error)
        log.warning("background task failed; restarting it", task=name, error=repr(error), exc_info=first)

    def _recovered(self, name: str, failures: Failures) -> None:
        failures.reset()
        if self._failing.pop(name, None):
            log.info("background task has recovered", task=name)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._failing.pop(task.get_name(), None)
        if task.cancelled() or (error := task.exception()) is None:
            return
        self.failure = self.failure or error
        log.error(
            "background task failed permanently; stopping", task=task.get_name(), error=str(error), exc_info=error
        )
        self._on_failure()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Once is not enough: before Python 3.12, `wait_for` may replace a cancellation by another exception.
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=self.CANCEL_AGAIN_S)


def _is_cancelled() -> bool:
    """Return whether this task was asked to end. A library may raise `CancelledError` for a connection that it lost:
    that is a failure."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
