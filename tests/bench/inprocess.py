"""What a dashboard costs the gateway's own code: one process, real protocols, and no sockets beneath them.

    python -m tests.bench.inprocess [--rounds N] [TREE ...]

Measures this checkout, or each TREE that has the packages `services` and `shared`, for instance compiled ones.
They take turns, so that all see the same machine. What the stub services take is taken off.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from pyqwest import HTTPTransport

from services.gateway.admission.overload import Overload
from services.gateway.dashboard.fast_path import DashboardFastPath
from services.gateway.gateway import Gateway, build, redis_client
from services.gateway.keys import parse_key_set
from services.gateway.main import create_app
from services.gateway.settings import Settings
from shared import logs
from shared.connection import Ending
from shared.garbage import freeze_heap
from shared.server.fast_path import FastPathProtocol
from shared.tokens import ServiceTokens
from tests.bench import stub
from tests.bench.contestants import SECRET, Audience
from tests.bench.gateway import FRESH
from tests.bench.report import ratios, spread, table
from tests.bench.wrk import Request

ROOT = Path(__file__).resolve().parents[2]
MEASURE = "--measure"
WITHIN_S = 60
MODES = {"uncached": FRESH, "cached": {}}
CALLERS = {64: 150, 1: 3_000}
"""And how many rounds of so many requests at once are measured."""
Figures = dict[str, float]
"""µs by mode and callers: of the cheaper half of the rounds, the mean."""


class StubTransport:
    """In place of a connection to a service: answers every query in the loop's next turn."""

    def __init__(self, loop: "StubLoop", protocol: Any) -> None:
        self._loop = loop
        self._protocol = protocol

    def write(self, request: bytes) -> None:
        began = time.thread_time()
        answer = stub.answer(b"200 OK", b"{}") if b"/panels" not in request else _answer(request)
        self._loop.call_soon(self._protocol.data_received, answer)
        self._loop.stub_s += time.thread_time() - began

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self._protocol.connection_lost(None)

    abort = close


def _answer(request: bytes) -> bytes:
    return stub.panels((), request.partition(b"\r\n\r\n")[2])


class StubLoop(uvloop.Loop):
    """Connects to nothing but stubs."""

    stub_s = 0.0

    async def create_connection(self, protocol_factory: Callable[[], Any], *_: Any, **__: Any) -> Any:
        protocol = protocol_factory()
        transport = StubTransport(self, protocol)
        protocol.connection_made(transport)
        return transport, protocol


class ClientTransport:
    """In place of a client's connection: counts answers of the fast path, which are written whole."""

    def __init__(self, answers: list[int]) -> None:
        self._answers = answers

    def write(self, data: bytes) -> None:
        self._answers[0] += data.startswith(b"HTTP/1.1 200 ") and data.endswith(b"}")

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, _name: str) -> None:
        """No socket."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Clients:
    """Connections that each ask once at a time."""

    def __init__(self, app: FastAPI, number: int) -> None:
        config = uvicorn.Config(app, http=FastPathProtocol, lifespan="off", log_config=None, proxy_headers=False)
        config.load()
        state = Ending()
        state.default_headers = [(b"date", b"Sun, 29 Nov 2026 06:38:30 GMT")]
        self._answers = [0]
        self._protocols = [FastPathProtocol(config, state, {}) for _ in range(number)]
        for protocol in self._protocols:
            protocol.connection_made(ClientTransport(self._answers))  # type: ignore[arg-type]

    async def ask(self, requests: Sequence[bytes]) -> None:
        """At once, until all are answered."""
        self._answers[0] = 0
        for protocol, request in zip(self._protocols, requests, strict=True):
            protocol.data_received(request)
        while self._answers[0] < len(requests):  # noqa: ASYNC110  an event would be measured, too
            await asyncio.sleep(0)


@asynccontextmanager
async def gateway(audience: Audience) -> AsyncIterator[FastAPI]:
    """The application with its fast path, and without what runs in its background."""
    settings = Settings(
        environment="development", internal_token_secret=SECRET, limit_read="1000000000/minute"
    )  # counted, and never reached
    logs.configure("gateway", settings)
    app = create_app(settings)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_client(settings))
        transport = HTTPTransport()
        built: Gateway = build(settings, ServiceTokens(SECRET, "gateway"), transport, transport, redis)
        stack.callback(built.reader.close)
        app.state.gateway = built
        built.keys.keys = parse_key_set(audience.jwks.encode())
        built.cache.trust()
        app.fast_path = DashboardFastPath(
            settings, Overload(settings), built.authenticator, built.limits, built.cache, built.reader
        )
        yield app


def head(request: Request) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"GET {request.path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n{lines}\r\n".encode()


async def measure() -> Figures:
    audience = Audience()
    async with gateway(audience) as app:
        for request in audience.with_tokens({}):
            await app.state.gateway.authenticator.bearer(request.headers["Authorization"].encode())
        freeze_heap()
        async with asyncio.timeout(WITHIN_S):  # else an answer is missing
            return {
                f"{mode}, {callers}": await _cost_us(app, [*map(head, audience.with_tokens(headers))], callers)
                for (mode, headers), callers in product(MODES.items(), CALLERS)
            }


async def _cost_us(app: FastAPI, requests: Sequence[bytes], callers: int) -> float:
    clients, loop = Clients(app, callers), asyncio.get_running_loop()
    assert isinstance(loop, StubLoop)
    for start in range(0, len(requests) - callers, callers):
        await clients.ask(requests[start : start + callers])
    took = []
    for _ in range(CALLERS[callers]):
        chosen = random.sample(requests, callers)
        loop.stub_s, began = 0.0, time.thread_time()
        await clients.ask(chosen)
        took.append((time.thread_time() - began - loop.stub_s) / callers * 1e6)
    cheaper = sorted(took)[: len(took) // 2]
    return sum(cheaper) / len(cheaper)


def measured_in(tree: Path) -> Figures:
    """What a process of its own finds with the modules of that tree."""
    command = [sys.executable, "-m", "tests.bench.inprocess", MEASURE]
    found = subprocess.run(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, check=True
    )
    figures: Figures = json.loads(found.stdout)
    return figures


def compare(trees: Sequence[Path], rounds: int) -> str:
    """A row for each tree, and for each but the first its ratio to the first."""
    figures: dict[tuple[Path, str], list[float]] = defaultdict(list)
    for _, tree in product(range(rounds), trees):
        for name, cost_us in measured_in(tree).items():
            figures[tree, name].append(cost_us)
    names = list(dict.fromkeys(name for _, name in figures))
    return table(["µs of CPU a dashboard", *names], list(_rows(figures, trees, names)))


def _rows(
    figures: dict[tuple[Path, str], list[float]], trees: Sequence[Path], names: Sequence[str]
) -> Iterator[list[str]]:
    first = trees[0]
    for tree in trees:
        yield [tree.name, *(spread(figures[tree, name]).show(1) for name in names)]
    for tree in trees[1:]:
        yield [
            f"{tree.name} / {first.name}",
            *(ratios(figures[tree, name], figures[first, name]).show(3) for name in names),
        ]


def main() -> None:
    if sys.argv[1:] == [MEASURE]:
        figures, sys.stdout = sys.stdout, Path(os.devnull).open("w")  # noqa: SIM115  log lines are written until the end
        with asyncio.Runner(loop_factory=StubLoop) as runner:
            figures.write(json.dumps(runner.run(measure())))
        return
    parser = argparse.ArgumentParser(prog="python -m tests.bench.inprocess", description=__doc__)
    parser.add_argument("trees", nargs="*", type=Path, default=[ROOT], metavar="TREE")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sys.stdout.write(compare([tree.resolve() for tree in options.trees], options.rounds) + "\n")


if __name__ == "__main__":
    main()
