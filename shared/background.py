"""Tasks that run beside the requests for as long as the process does: kept, awaited at the end, never lost silently."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from shared.logs import get_logger

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
    """Background tasks of one process. One that ends by an exception stops the process: it is started anew from
    outside, in a known state, instead of living on half alive. `failure` keeps the exception."""

    CANCEL_AGAIN_S = 1.0

    def __init__(self, on_failure: Callable[[], None] = stop_process) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failure: BaseException | None = None

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until it ends or the block is left."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        self.failure = self.failure or error
        log.error("background task failed; stopping", task=task.get_name(), error=str(error), exc_info=error)
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
