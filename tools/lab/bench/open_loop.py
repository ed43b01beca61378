"""Requests at a fixed rate, regardless of earlier responses, over a bounded number of connections.

    python -m tools.lab.bench.open_loop URL PATH TOKENS RATE SECONDS

`TOKENS` is a file with one token per line. Prints the outcome as JSON. A latency starts when its request was due. A
request without a free connection is `unsent`.
"""

import asyncio
import json
import random
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

CONNECTIONS = 1000
TICK_S = 0.001
PATIENCE_S = 5.0
OK, SHED = 200, 503
OVERLOADED = b'"overloaded"'
"""Part of a shed response; any other 503 is a failure."""


@dataclass
class Outcome:
    """The responses, each with two times in seconds: when the request was due, since the beginning, and its latency."""

    sent: int = 0
    unsent: int = 0
    failed: int = 0
    accepted: list[tuple[float, float]] = field(default_factory=list)
    shed: list[tuple[float, float]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    """The delay with which each request was sent because the load generator itself was too slow."""


class Client(asyncio.Protocol):
    """One connection with one request at a time. Every response has a Content-Length."""

    began = 0.0

    def __init__(self, idle: deque["Client"], outcome: Outcome) -> None:
        self._idle = idle
        self._outcome = outcome
        self._got = b""
        self._due: float | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is one in all but name
        self._idle.append(self)

    def ask(self, request: bytes, due: float) -> None:
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if end and len(body) >= _length(head):
            self._got = b""
            status = int(head[9:12])
            self._answered(0 if status == SHED and OVERLOADED not in body else status)

    def _answered(self, status: int) -> None:
        if self._due is None:
            return
        took, self._due = (self._due - self.began, time.perf_counter() - self._due), None
        if status == OK:
            self._outcome.accepted.append(took)
        elif status == SHED:
            self._outcome.shed.append(took)
        else:
            self._outcome.failed += 1
        self._idle.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self._due is not None:
            self._outcome.failed += 1
        elif self in self._idle:
            self._idle.remove(self)


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0] or 0)


async def run(url: str, path: str, tokens: list[str], rate: float, seconds: float) -> Outcome:
    parts = urlsplit(url)
    outcome, idle = Outcome(), deque[Client]()
    loop = asyncio.get_running_loop()
    requests = [f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {each}\r\n\r\n".encode() for each in tokens]
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Client(idle, outcome), parts.hostname or "", parts.port or 80)
    began, number = time.perf_counter(), 0
    Client.began = began
    while (now := time.perf_counter()) < began + seconds:
        while (due := began + number / rate) <= now:
            if idle:
                idle.popleft().ask(random.choice(requests), due)
                outcome.late.append(time.perf_counter() - due)
                outcome.sent += 1
            else:
                outcome.unsent += 1
            number += 1
        await asyncio.sleep(TICK_S)
    while len(idle) < CONNECTIONS and time.perf_counter() < began + seconds + PATIENCE_S:  # noqa: ASYNC110  as above
        await asyncio.sleep(TICK_S)
    return outcome


if __name__ == "__main__":
    _url, _path, _tokens, _rate, _seconds = sys.argv[1:]
    found = uvloop.run(run(_url, _path, Path(_tokens).read_text().split(), float(_rate), float(_seconds)))
    json.dump(asdict(found), sys.stdout)
