"""Our gateway on an event loop that records the duration and the cause of each callback.

    python -m tools.lab.bench.paused_gateway FOUND

On SIGUSR1 it writes the durations since the last signal into the file FOUND, as JSON, and starts again. A duration is
CPU time of the loop's thread, so that other processes on the machine do not count; `OFF_CPU` is the rest of the elapsed
time. Garbage collections are separate causes, and subtracted from the callback around them. `control` is always the
same work.
"""

import asyncio
import gc
import json
import signal
import sys
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.main import create_app
from services.gateway.settings import Settings
from shared.observability.probes import internal_app
from shared.server import serve
from tools.devstack.system.files import write_atomically
from tools.lab.bench.pauses import COLLECTION, OFF_CPU, SCRAPE, Cause

CONTROL_STEPS, CONTROL_EVERY_S = 10_000, 0.01
Run = Callable[..., Any]


def _durations() -> "array[float]":
    return array("d")


class Recorder:
    """Durations in seconds, by cause."""

    def __init__(self) -> None:
        self._took: dict[str, array[float]] = defaultdict(_durations)
        self._collecting = self._began = 0.0

    def run(self, callback: Run, *args: object) -> Any:
        """Call the function, and record its CPU time without that of garbage collections."""
        self._collecting = 0.0
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return callback(*args)
        finally:
            used = time.thread_time() - cpu
            self._took[OFF_CPU].append(max(0.0, time.perf_counter() - wall - used))
            self._took[cause_of(callback)].append(used - self._collecting)

    def collection(self, phase: str, told: Mapping[str, int]) -> None:
        """Record a garbage collection; a callback of `gc.callbacks`."""
        if phase == "start":
            self._began = time.thread_time()
            return
        used = time.thread_time() - self._began
        self._collecting += used
        self._took[COLLECTION.format(told["generation"])].append(used)

    def take(self) -> dict[str, Mapping[str, float]]:
        """Return the durations that were recorded since the last call."""
        took, self._took = self._took, defaultdict(_durations)
        return {cause: asdict(Cause.of(found)) for cause, found in took.items()}


RECORDER = Recorder()


def control(loop: asyncio.AbstractEventLoop) -> None:
    """Do the same work every time: its longest duration is what the machine adds to any callback."""
    sum(range(CONTROL_STEPS))
    loop.call_later(CONTROL_EVERY_S, control, loop)


class RecordedLoop(uvloop.Loop):
    """Records every callback that it calls. libuv calls protocols without a handle; `recorded` wraps those."""

    def __init__(self) -> None:
        super().__init__()
        control(self)

    def call_soon(self, callback: Run, *args: Any, **more: Any) -> asyncio.Handle:  # type: ignore[override]
        return super().call_soon(RECORDER.run, callback, *args, **more)

    def call_soon_threadsafe(self, callback: Run, *args: Any, **more: Any) -> asyncio.Handle:  # type: ignore[override]
        return super().call_soon_threadsafe(RECORDER.run, callback, *args, **more)

    def call_later(self, delay: float, callback: Run, *args: Any, **more: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        return super().call_later(delay, RECORDER.run, callback, *args, **more)

    def call_at(self, when: float, callback: Run, *args: Any, **more: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        return super().call_at(when, RECORDER.run, callback, *args, **more)

    async def create_server(self, protocol_factory: Run, *args: Any, **more: Any) -> Any:
        return await super().create_server(lambda: recorded(protocol_factory()), *args, **more)

    async def create_connection(self, protocol_factory: Run, *args: Any, **more: Any) -> Any:
        return await super().create_connection(lambda: recorded(protocol_factory()), *args, **more)


def recorded(protocol: Any) -> Any:
    """Return the protocol with recorded reads."""
    for name in ("data_received", "buffer_updated"):
        if hasattr(protocol, name):
            setattr(protocol, name, partial(RECORDER.run, getattr(protocol, name)))
    return protocol


def cause_of(callback: Any) -> str:
    """Return the name of the task, its coroutine or the function."""
    while isinstance(callback, partial):
        callback = callback.func
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        name = owner.get_name()
        return name if not name.startswith("Task-") else getattr(owner.get_coro(), "__qualname__", name)
    return str(getattr(callback, "__qualname__", type(callback).__qualname__))


def named(name: str, app: ASGIApp) -> ASGIApp:
    """Return the application, which runs each request in a task with this name."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.create_task(app(scope, receive, send), name=name)  # type: ignore[arg-type]

    return run


def main(found: Path) -> None:
    settings = Settings()
    app = create_app(settings)
    gc.callbacks.append(RECORDER.collection)
    signal.signal(signal.SIGUSR1, lambda *_: write_atomically(found, json.dumps(RECORDER.take())))
    internal = named(SCRAPE, internal_app(app)), settings.internal_port
    serve.run("gateway", app, settings, internal, new_loop=RecordedLoop)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
