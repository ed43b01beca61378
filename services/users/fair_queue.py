"""Runs work in a few threads, with a bounded queue that accounts and addresses share fairly."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class QueueFull(Exception):
    """The job had the largest share of a full queue."""


class Asker(NamedTuple):
    account: str
    address: str

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """The keys by which its jobs are counted. An account may have the same name as an address."""
        return ("account", self.account), ("address", self.address)


@dataclass(eq=False)
class _Job:
    asker: Asker
    work: Callable[[], Any]
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class FairQueue:
    """A job's share is the number of jobs of its account and of its address before it. The job with the smallest
    share runs next; among equals, the one that was served longest ago. When the queue is full, the job with the
    largest share is refused."""

    def __init__(self, pool: ThreadPoolExecutor, threads: int, max_pending: int) -> None:
        self._pool = pool
        self._threads = threads
        self._max_pending = max_pending
        self._running: list[_Job] = []
        self._waiting: list[_Job] = []
        self._turn = 0
        self._served: dict[tuple[str, str], int] = {}
        """The last turn of an account or address, while it has a job here."""

    def __len__(self) -> int:
        return len(self._running) + len(self._waiting)

    async def run(self, asker: Asker, work: Callable[[], T]) -> T:
        """Return the result of `work`. Raises `QueueFull`.

        A cancelled caller leaves the queue, but work that has started keeps its thread.
        """
        job = _Job(asker, work)
        self._waiting.append(job)
        self._start()
        if len(self) > self._max_pending:
            self._refuse(max(reversed(list(self._shares())), key=lambda each: each[1])[0])
        try:
            result: T = await job.done
        finally:
            if job in self._waiting:
                self._waiting.remove(job)
        return result

    def _shares(self) -> Iterator[tuple[_Job, int]]:
        before: Counter[tuple[str, str]] = Counter()
        for number, job in enumerate((*self._running, *self._waiting)):
            keys = job.asker.keys
            if number >= len(self._running):
                yield job, sum(before[key] for key in keys)
            before.update(keys)

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._threads:
            job, _ = min(self._shares(), key=lambda each: (each[1], self._last_turn(each[0].asker)))
            self._waiting.remove(job)
            self._turn += 1
            self._served |= dict.fromkeys(job.asker.keys, self._turn)
            self._running.append(job)
            asyncio.get_running_loop().run_in_executor(self._pool, job.work).add_done_callback(
                partial(self._finished, job)
            )

    def _last_turn(self, asker: Asker) -> int:
        return max(self._served.get(key, 0) for key in asker.keys)

    def _finished(self, job: _Job, ended: asyncio.Future[Any]) -> None:
        self._running.remove(job)
        self._start()
        here = {key for each in (*self._running, *self._waiting) for key in each.asker.keys}
        self._served = {key: turn for key, turn in self._served.items() if key in here}
        if ended.cancelled():
            job.done.cancel()
        elif error := ended.exception():
            if not job.done.done():
                job.done.set_exception(error)
        elif not job.done.done():
            job.done.set_result(ended.result())

    def _refuse(self, job: _Job) -> None:
        self._waiting.remove(job)
        job.done.set_exception(QueueFull())
