"""A connection without a socket: the protocol object, and everything that it writes."""

import asyncio
import re
from functools import cache
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from shared.server.fast_path import ANSWERED, Exchange, FastPathProtocol

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def statuses(written: bytes) -> tuple[int, ...]:
    """Return the statuses of the responses, whose bodies must not look like status lines."""
    return tuple(int(found) for found in _STATUS.findall(written))


async def livez(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001  as ASGI has it
    """Answer like the probes, without a body."""
    status = _status(scope["method"].encode())
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


class Transport(asyncio.Transport):
    """Stores everything that is written. It is `over` when the client sees no more."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.over = False
        self.reading = True
        self._closing = False

    def write(self, data: Any) -> None:
        assert not self.over, "nothing is written after the end"
        self.written += data

    def close(self) -> None:
        self.over = self._closing = True

    def abort(self) -> None:
        self.over = self._closing = True

    def write_eof(self) -> None:
        self.over = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@cache
def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False, proxy_headers=False)


class Wire:
    """One client and the server's end of its connection."""

    def __init__(self, app: Any = livez, kind: type[FastPathProtocol] = FastPathProtocol) -> None:
        self.state = ServerState()
        self.transport = Transport()
        self.protocol = kind(_config(app), self.state, {})
        self.protocol.connection_made(self.transport)

    async def send(self, data: bytes) -> None:
        """Let the server read once, and do everything that follows."""
        self.receive(data)
        await self.settle()

    def receive(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.protocol.data_received(data)

    async def settle(self) -> None:
        while self.state.tasks:
            await asyncio.wait(list(self.state.tasks))

    def leave(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
        self.protocol.connection_lost(None)

    @property
    def answered_by(self) -> list[tuple[str, str]]:
        """Return the path through which each response of `Quick` came, and its target."""
        written = self.transport.written.decode()
        return re.findall(r"way: (.*)\r\ntarget: (.*)\r\n", written)

    @property
    def answers(self) -> tuple[int, ...]:
        return statuses(bytes(self.transport.written))


class TakenLater(Exchange):
    """A request that was accepted, and is answered when a test says so."""

    def __init__(self, protocol: FastPathProtocol) -> None:
        super().__init__(protocol)
        self.times_left = 0

    def client_left(self) -> None:
        self.times_left += 1
        self.response_complete = True

    async def answer_soon(self) -> None:
        await asyncio.sleep(0)
        self.answer()

    def answer(self) -> None:
        if not self.disconnected:
            self.respond(answer_to(self.method, self.url, keep_alive=self.keep_alive))


class Quick:
    """An application as `livez`, whose fast path takes all that is ordinary. It answers at once, or `later`: in a task,
    or by a test when that is not `soon`. The application reads the first part of a body, unless it answers before.
    Answers say by which way they came."""

    def __init__(self, *, later: bool = False, soon: bool = True, reads: bool = True) -> None:
        self.fast_path = self
        self.later = later
        self.soon = soon
        self.reads = reads
        self.bodies: list[bytes] = []
        self.taken: list[TakenLater] = []
        self.times_taken = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.reads:
            self.bodies.append((await receive()).get("body", b""))
        headers = [(b"content-length", b"0"), (b"way", b"application"), (b"target", scope["raw_path"])]
        await send({"type": "http.response.start", "status": _status(scope["method"].encode()), "headers": headers})
        await send({"type": "http.response.body"})

    def wants(self, method: bytes, url: bytes) -> bool:  # noqa: ARG002  as a fast path has it
        return True

    def take(self, protocol: FastPathProtocol) -> Exchange | None:
        self.times_taken += 1
        self.bodies.append(protocol.held_body)
        if not self.later:
            protocol.write_answer(answer_to(protocol.parser.get_method(), protocol.url))
            return ANSWERED
        exchange = TakenLater(protocol)
        if self.soon:
            task = protocol.loop.create_task(exchange.answer_soon())
            task.add_done_callback(protocol.tasks.discard)
            protocol.tasks.add(task)
        else:
            self.taken.append(exchange)
        return exchange


def answer_to(method: bytes, target: bytes, *, keep_alive: bool = True) -> bytes:
    """Answer like the application, through the other path."""
    close = b"" if keep_alive else b"connection: close\r\n"
    status_line = b"HTTP/1.1 %d X\r\n" % _status(method)
    return status_line + b"content-length: 0\r\nway: fast\r\ntarget: %s\r\n%s\r\n" % (target, close)


def _status(method: bytes) -> int:
    return 200 if method in (b"GET", b"HEAD") else 405
