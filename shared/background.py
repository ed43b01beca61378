"""Tasks that run beside the requests for as long as the process does: kept, awaited at the end, never lost silently."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from prometheus_client import Counter

from shared.logs import get_logger
from shared.restarts import Failures, RestartPolicy

RESTARTS = Counter("background_restarts_total", "Background tasks that failed and began again.", ["task"])

Work = Callable[[], Coroutine[Any, Any, None]]

RESTART = RestartPolicy()

log = get_logger(__name__)


def stop_process() -> None:
    """Ask this process to shut down in good order."""
    os.kill(os.getpid(), signal.SIGTERM)


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Lets `work` end however often the caller is cancelled meanwhile; a cancellation is raised after that."""
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
    """What trying again does not mend. A background task that raises it stops the process at once."""


class TaskPaused(Exception):
    """A background task has failed, and waits to begin again."""


async def until(end: Coroutine[Any, Any, None], work: Coroutine[Any, Any, None]) -> None:
    """Do the work, but not beyond the end."""
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
    """Background tasks of one process. One that fails begins again, after a growing pause. One that fails too
    often, or by `Permanent`, stops the process: it is started anew from outside, in a known state, instead of living on
    half alive. `failure` keeps that exception."""

    CANCEL_AGAIN_S = 1.0

    def __init__(self, on_failure: Callable[[], None] = stop_process, policy: RestartPolicy = RESTART) -> None:
        self._on_failure = on_failure
        self._policy = policy
        self._tasks: set[asyncio.Task[Any]] = set()
        self._paused: dict[str, str] = {}
        self.failure: BaseException | None = None

    def start(self, name: str, work: Work) -> asyncio.Task[None]:
        """Run what `work` makes, until it ends or the block is left; `work` is called again after a failure."""
        task = asyncio.create_task(self._keep_up(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def check(self) -> None:
        """For readiness: raises while a task waits to begin again."""
        if self._paused:
            raise TaskPaused("; ".join(f"{name} begins again after {error}" for name, error in self._paused.items()))

    async def _keep_up(self, name: str, work: Work) -> None:
        failures = Failures(self._policy)
        while True:
            try:
                await work()
            except Permanent:
                raise
            except Exception as error:
                pause_s = failures.pause_s(asyncio.get_running_loop().time())
                if pause_s is None:
                    raise
                log.exception("background task failed; it begins again", task=name, pause_s=round(pause_s, 1))
                RESTARTS.labels(name).inc()
                self._paused[name] = repr(error)
            else:
                return
            try:
                await asyncio.sleep(pause_s)
            finally:
                del self._paused[name]

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        self.failure = self.failure or error
        log.error("background task failed for good; stopping", task=task.get_name(), error=str(error), exc_info=error)
        self._on_failure()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Once is not enough: before Python 3.12, `wait_for` may put another exception in place of a cancellation.
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=self.CANCEL_AGAIN_S)
