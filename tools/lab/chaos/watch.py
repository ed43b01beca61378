"""Measures how long the system takes to recover."""

import asyncio
import time
from dataclasses import dataclass, field

from tools.lab.chaos.injector import Injector
from tools.lab.chaos.system import System

EVERY_S = 0.5


@dataclass(frozen=True)
class Recovery:
    """The time from the end of the last fault until nothing was missing."""

    seconds: float
    after: str


@dataclass
class Watch:
    """If a fault occurs before the system has recovered, the recovery is measured from the end of that fault."""

    system: System
    injector: Injector
    recoveries: list[Recovery] = field(default_factory=list)
    _seen: int = 0

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(EVERY_S)

    async def _look(self) -> None:
        done = self.injector.done
        known = len(done)
        if known == self._seen or self.injector.under_way or await self.system.missing():
            return
        if known == len(done):
            last = max(done[self._seen :], key=lambda injected: injected.ended)
            self.recoveries.append(Recovery(time.time() - last.ended, str(last.fault)))
            self._seen = known

    @property
    def longest(self) -> Recovery:
        return max(self.recoveries, key=lambda recovery: recovery.seconds, default=Recovery(0, "nothing"))
