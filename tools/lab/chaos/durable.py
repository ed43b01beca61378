"""The durable tasks and the schedule of a run; nothing if the system has none."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tools.lab.chaos.load import Load
from tools.lab.chaos.operator import Operator
from tools.lab.chaos.tasks import TaskLoad

SHARE = 0.5
"""Tasks for each action of the clients."""


class Durable:
    def __init__(self, databases: Mapping[str, str], load: Load, seconds: float) -> None:
        """Run with `load`, at a rate that follows from its own, for `seconds`."""
        self._databases = databases
        self._load = load
        self._seconds = seconds
        self._tasks: TaskLoad | None = None
        self._operator: Operator | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Add tasks and request runs of the schedule within the block."""
        if not self._databases:
            yield
            return
        load = self._load
        self._operator = Operator(self._databases, load.requests, load.journal, load.seed, load.tokens)
        await self._operator.begin()
        self._tasks = TaskLoad(
            self._databases,
            load.journal,
            seed=load.seed,
            rate=SHARE * load.rate,
            in_burst=load.in_burst,
            seconds=self._seconds,
        )
        async with self._tasks.running(), self._operator.running():
            yield

    def burst(self) -> None:
        """Add many tasks at once, with the orders of a burst."""
        self._load.burst()
        if self._tasks:
            self._tasks.burst()

    async def end(self, patience_s: float) -> None:
        """End the load, then the schedule."""
        await self._load.end(patience_s)
        if self._operator:
            await self._operator.end(patience_s)
