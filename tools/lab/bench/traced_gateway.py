"""Dashboards of one gateway in this process, without HTTP in front of it, with and without recorded traces.

`python -m tools.lab.bench.traced_gateway COLLECTOR TOKENS ROUNDS COUNT FOUND` writes JSON into the file FOUND: for each
share of recorded traces the CPU time per dashboard (µs) of all threads, which includes sending the spans, and as
`failed` the statuses of failed requests. The share changes every COUNT dashboards, so often that other load on the
machine affects all of them equally.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from http import HTTPStatus
from itertools import cycle
from pathlib import Path

import uvloop
from fastapi import FastAPI
from starlette.types import Message, Scope

from services.gateway.main import create_app
from services.gateway.settings import Settings
from shared.observability import logs, tracing
from shared.observability.trace_export import BATCH, SpanQueue
from tests.support.waiting import eventually

SHARES = {"off": None, "1 %": 0.01, "100 %": 1.0}
CALLERS = 64
FRESH = (b"cache-control", b"no-cache")

FAILED: list[int] = []

Headers = list[tuple[bytes, bytes]]


async def main(collector: str, tokens: Sequence[str], rounds: int, count: int) -> Mapping[str, Sequence[float]]:
    settings = Settings()
    logs.configure("gateway", settings)
    app = create_app(settings)
    outbox = SpanQueue("gateway", collector)
    found: dict[str, list[float]] = defaultdict(list)
    async with app.router.lifespan_context(app):
        await eventually(lambda: app.state.gateway.keys.keys)
        app.state.gateway.cache.enable()
        for number in range(rounds + 1):
            for kind, more in (("", [FRESH]), (", cached", [])):
                for name, share in SHARES.items():
                    cost = await _burst(app, _callers(tokens, more), share, outbox, count)
                    if number:  # the first is for warming up
                        found[name + kind].append(cost)
    outbox.close()
    return {**found, "failed": FAILED}


def _callers(tokens: Sequence[str], more: Headers) -> Iterator[Headers]:
    return cycle([[(b"authorization", f"Bearer {token}".encode()), *more] for token in tokens])


async def _burst(app: FastAPI, callers: Iterator[Headers], share: float | None, outbox: SpanQueue, count: int) -> float:
    began = time.process_time()
    with nullcontext() if share is None else tracing.recording(outbox.tracer, share):
        for _ in range(0, count, CALLERS):
            await asyncio.gather(*(_ask(app, next(callers)) for _ in range(CALLERS)))
            if outbox.waiting >= BATCH:
                outbox.flush()
    outbox.flush()
    return (time.process_time() - began) / count * 1e6


async def _ask(app: FastAPI, headers: Headers) -> None:
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/dashboard",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }
    await asyncio.create_task(app(scope, _receive, _send))


async def _receive() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def _send(message: Message) -> None:
    if message.get("status", HTTPStatus.OK) != HTTPStatus.OK:
        FAILED.append(message["status"])


if __name__ == "__main__":
    collector, tokens, rounds, count, found = sys.argv[1:]
    measured = uvloop.run(main(collector, Path(tokens).read_text().split(), int(rounds), int(count)))
    Path(found).write_text(json.dumps(measured))
