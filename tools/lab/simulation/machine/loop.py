"""An event loop in which everything is decided by a seed: what runs next, and how long everything takes.

Time is virtual. While a callback is ready, time passes by microseconds; when none is, the clock jumps to the next
timer. There is no selector: what a socket would bring is a timer (`network`, `postgres`).

The loop runs several simulated processes. Within a process, callbacks run in the order in which they were scheduled, as
asyncio promises; which process runs next is chosen by the seed. A process can be killed between any two callbacks: then
none of its callbacks runs any more, and no `finally` either.
"""

import asyncio
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

BEGINNING_S = 1000.0
"""The time of the loop at which a simulation starts."""
BEGINNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""The wall-clock time at which the loop's time would be zero."""
STEP_S = 40e-6
"""The longest time that one callback takes."""


def wall_time(loop_s: float) -> datetime:
    """Return the wall-clock time of a time of the loop."""
    return BEGINNING + timedelta(seconds=loop_s)


class NothingLeft(Exception):
    """No callback is ready and no timer is set: what is waited for will never happen."""


class OutOfTime(Exception):
    """The simulation has run for longer than it may."""


class Killed(Exception):
    """The simulated process that was asked to do something has been killed."""


class Process:
    """A simulated process: the tasks, timers and connections that end together.

    `skew_s` is how far its wall clock is ahead. `steps` counts its callbacks; when `steps_left` reaches zero it is
    killed.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.is_alive = True
        self.skew_s = 0.0
        self.steps = 0
        self.steps_left = -1
        self.frozen_until = 0.0
        self.ready: deque[asyncio.Handle] = deque()
        self.closing: list[Callable[[], None]] = []
        """Called when it is killed: closes its connections as the kernel would."""
        self.context = contextvars.copy_context()
        self.context.run(current_process.set, self)

    def __repr__(self) -> str:
        return self.name


current_process: contextvars.ContextVar[Process] = contextvars.ContextVar("current_process")


class _Task(asyncio.Task[T]):
    """A task whose hash is its number: the order of a set of tasks must not depend on their addresses."""

    number: int = 0
    process: Process

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future[T]):
    number: int = 0

    def __hash__(self) -> int:
        return self.number


_EventLoop: Any = asyncio.AbstractEventLoop
"""Its methods for files, pipes and subprocesses are not there: no simulated process has any."""


class SimulationLoop(_EventLoop):  # type: ignore[misc]
    """`on_task` is called with each task that goes on, before it does."""

    def __init__(self, seed: int | str, until_s: float = float("inf")) -> None:
        self.random = random.Random(f"loop {seed}")
        self.now = BEGINNING_S
        self.until_s = until_s
        self.steps = 0
        self.network: Any = None
        self.executor_s = 0.002
        """The longest time that a function takes in an executor."""
        self.errors: list[dict[str, Any]] = []
        """What was reported to the exception handler."""
        self.on_task: Callable[[asyncio.Task[Any]], None] = lambda _: None
        self.on_kill: list[Callable[[Process], None]] = []
        self._numbers = 0
        self._timers: list[tuple[float, float, int, asyncio.TimerHandle, Process]] = []
        self._graveyard: list[object] = []
        """What belonged to killed processes. It is kept, because a coroutine that is freed runs its `finally`."""
        self._running = False
        self._closed = False
        self.processes: list[Process] = []
        self.world = self.new_process("world")
        self.current = self.world

    # -- processes

    def new_process(self, name: str) -> Process:
        process = Process(name, len(self.processes) + 1)
        self.processes.append(process)
        return process

    def spawn(self, process: Process, work: Coroutine[Any, Any, T], name: str = "") -> asyncio.Task[T]:
        """Run a coroutine in a process."""
        if not process.is_alive:
            work.close()
            raise Killed(process.name)
        return self.create_task(work, name=name or None, context=process.context.copy())

    def kill(self, process: Process) -> None:
        """End a process at once, as `kill -9` does. Its connections are closed by the kernel."""
        if not process.is_alive:
            return
        process.is_alive = False
        tasks = [task for task in asyncio.all_tasks(self) if isinstance(task, _Task) and task.process is process]
        self._graveyard += [tasks, process.ready, process]
        process.ready = deque()
        self.processes.remove(process)
        for told in self.on_kill:
            told(process)
        closing, process.closing = process.closing, []
        for close in closing:
            close()

    def freeze(self, process: Process, seconds: float) -> None:
        """Stop a process for a while, as SIGSTOP does: its connections stay open."""
        process.frozen_until = max(process.frozen_until, self.now + seconds)
        self.call_at(process.frozen_until, lambda: None, context=self.world.context.copy())

    # -- callbacks

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = context or contextvars.copy_context()
        handle = asyncio.Handle(callback, args, self, context)
        process = context.get(current_process, self.world)
        if process.is_alive and not self._closed:
            process.ready.append(handle)
        else:
            self._graveyard.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        context = context or contextvars.copy_context()
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        process = context.get(current_process, self.world)
        heapq.heappush(self._timers, (when, self.random.random(), self._number(), handle, process))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + max(0.0, delay), callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer stays in the heap until its time."""

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[Any]:
        future: _Future[Any] = _Future(loop=self)
        future.number = self._number()
        return future

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None, **more: Any
    ) -> asyncio.Task[Any]:
        context = context or contextvars.copy_context()
        task: _Task[Any] = _Task.__new__(_Task)
        task.number, task.process = self._number(), context.get(current_process, self.world)
        task.__init__(coro, loop=self, name=name or f"task-{task.number}", context=context, **more)  # type: ignore[misc]
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # noqa: ARG002
        """Run it in this thread, after a while."""
        future = self.create_future()

        def run() -> None:
            if future.done():
                return
            try:
                result = func(*args)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(self.random.random() * self.executor_s, run)
        return future

    # -- running

    def run_until_complete(self, future: Any) -> Any:
        """Run until the future, or the coroutine, is done. Raises `NothingLeft` and `OutOfTime`."""
        asyncio._set_running_loop(self)
        self._running = True
        try:
            task = self.spawn(self.world, future) if asyncio.iscoroutine(future) else future
            while not task.done():
                self.step()
            return task.result()
        finally:
            self._running = False
            asyncio._set_running_loop(None)

    def step(self) -> None:
        """Run one callback."""
        while True:
            timers = self._timers
            while timers and timers[0][0] <= self.now:
                self._expire()
            ready = [each for each in self.processes if each.ready and each.frozen_until <= self.now]
            if ready:
                break
            if not timers:
                raise NothingLeft
            self.now = max(self.now, timers[0][0])
            if self.now > self.until_s:
                raise OutOfTime
        process = ready[0] if len(ready) == 1 else ready[int(self.random.random() * len(ready))]
        handle = process.ready.popleft()
        if handle.cancelled():
            return
        self.now += self.random.random() * STEP_S
        self.steps += 1
        process.steps += 1
        self.current = process
        task = getattr(getattr(handle, "_callback", None), "__self__", None)
        if isinstance(task, _Task):
            self.on_task(task)
        handle._run()
        self.current = self.world
        if process.steps_left >= 0:
            process.steps_left -= 1
            if process.steps_left < 0:
                self.kill(process)

    def _expire(self) -> None:
        _, _, _, handle, process = heapq.heappop(self._timers)
        if not process.is_alive:
            self._graveyard.append(handle)
        elif not handle.cancelled():
            process.ready.append(handle)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """End all coroutines, also those of killed processes, so that no collection of garbage does that later."""
        self._closed = True
        for task in asyncio.all_tasks(self):
            with suppress(Exception):
                task.get_coro().close()

    def stop(self) -> None:
        raise RuntimeError("a simulation ends when what it runs is done")

    async def shutdown_asyncgens(self) -> None: ...

    async def shutdown_default_executor(self, timeout: float | None = None) -> None: ...  # noqa: ASYNC109

    # -- errors

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """There is no debug mode."""

    def get_exception_handler(self) -> None:
        return None

    def set_exception_handler(self, handler: Any) -> None:
        """All errors are kept in `errors`."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    # -- connections

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:
        """No signal is sent to a simulated process."""

    def remove_signal_handler(self, sig: int) -> bool:  # noqa: ARG002
        return False

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        return [(2, 1, 6, "", (host, port))]

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return await self.network.connect(protocol_factory, str(host), int(port))

    async def create_unix_connection(self, protocol_factory: Any, path: Any = None, **_: Any) -> Any:
        return await self.network.connect_to_postgres(protocol_factory, str(path))

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return self.network.listen(protocol_factory, str(host), int(port))
