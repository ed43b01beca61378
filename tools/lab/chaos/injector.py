"""Injects the faults, and removes them."""

import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from tests.support.waiting import eventually
from tools.devstack.system.processes import Identity
from tools.lab.chaos.faults import Fault
from tools.lab.chaos.injected import NOT_YET, Injected
from tools.lab.chaos.servers import Servers
from tools.lab.chaos.system import System

SLOW_S = 0.1
LINK_VERBS = ("cut", "silence", "hold", "slow", "forget")
RESPAWN_S = 15.0


@dataclass
class Injector:
    """Injects one fault at a time into each target; a second fault for the same target waits."""

    system: System
    servers: Servers
    say: Callable[[str], None]
    before: Callable[[], None]
    """Called shortly before each fault."""
    done: list[Injected] = field(default_factory=list)
    skipped: int = 0

    def __post_init__(self) -> None:
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self, faults: Sequence[Fault]) -> None:
        """Inject the faults; return when all have been removed."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                tasks.create_task(self._inject(fault))

    @property
    def under_way(self) -> bool:
        return any(injected.ended == NOT_YET for injected in self.done)

    async def _inject(self, fault: Fault) -> None:
        if not self.system.suffers(fault):
            self.before()  # the load is the same for every system
            return
        verb: Callable[[Fault], Awaitable[bool]] = getattr(self, fault.verb)
        async with self._locks[_place(fault)]:
            injected = Injected(fault, time.time())
            self.done.append(injected)
            self.say(f"{fault.at:6.1f}  {fault}")
            self.before()
            await asyncio.sleep(fault.lead)
            try:
                took_place = await verb(fault)
            finally:
                injected.ended = time.time()
        if not took_place:
            self.done.remove(injected)
            self.skipped += 1

    async def kill(self, fault: Fault) -> bool:
        """Kill the process; the supervisor restarts it."""
        return await self._signal(fault.target, signal.SIGKILL)

    async def roll(self, fault: Fault) -> bool:
        return await self._signal(fault.target, signal.SIGTERM)

    async def freeze(self, fault: Fault) -> bool:
        process = await self._process(fault.target)
        if process is None:
            return False
        await self._stopped([process], fault.lasts)
        return True

    async def crash(self, fault: Fault) -> bool:
        server = self.servers.by_name[fault.target]
        await asyncio.to_thread(server.kill)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            await asyncio.to_thread(server.start)
        return True

    async def suspend(self, fault: Fault) -> bool:
        [pid] = self.servers.by_name[fault.target].pids
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        known = [Identity.of(process.pid) for process in processes]
        await self._stopped([identity for identity in known if identity], fault.lasts)
        return True

    async def cut(self, fault: Fault) -> bool:
        link = self.servers.links[fault.target]
        await link.cut()
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            await link.mend()
        return True

    async def silence(self, fault: Fault) -> bool:
        """Lose the server's responses: it has executed its commands, and the client does not know."""
        link = self.servers.links[fault.target]
        link.answers.clear()
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            await link.reset()
        return True

    async def hold(self, fault: Fault) -> bool:
        """Hold back all data, also of new connections; later it arrives all at once."""
        link = self.servers.links[fault.target]
        link.requests.clear()
        link.answers.clear()
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            link.flow()
        return True

    async def slow(self, fault: Fault) -> bool:
        link = self.servers.links[fault.target]
        link.delay_s = SLOW_S
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            link.delay_s = 0.0
        return True

    async def forget(self, fault: Fault) -> bool:
        """Forget connections; this is never removed, and each side has to detect it."""
        self.servers.links[fault.target].forget()
        return True

    async def disconnect(self, _fault: Fault) -> bool:
        """Let the broker close every connection."""
        await asyncio.to_thread(self.servers.rabbitmq.close_connections)
        return True

    async def _signal(self, label: str, number: signal.Signals) -> bool:
        process = await self._process(label)
        if process is None:
            return False
        process.signal(number)
        return True

    async def _process(self, label: str) -> Identity | None:
        """Return the process; it may still be restarting after an earlier fault."""
        with suppress(AssertionError):
            await eventually(lambda: self._is_there(label), within=RESPAWN_S)
        return self.system.process(label)

    async def _is_there(self, label: str) -> bool:
        return self.system.process(label) is not None

    async def _stopped(self, processes: Sequence[Identity], seconds: float) -> None:
        _send(processes, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            _send(processes, signal.SIGCONT)


def _place(fault: Fault) -> str:
    """Return the target of a fault. A server and the link to it are separate targets, and may fail at the same time."""
    return f"link to {fault.target}" if fault.verb in LINK_VERBS else fault.target


def _send(processes: Sequence[Identity], number: signal.Signals) -> None:
    for process in processes:
        if process.alive():
            os.kill(process.pid, number)
