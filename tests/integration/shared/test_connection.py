"""What clients may send, and how long they may take, before the server ends the connection."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, TypeVar

import pytest
from starlette.types import Receive, Scope, Send

from shared.server.connection import ConnectionLimits, sweep
from shared.server.fast_path import FastPathProtocol
from shared.server.serve import Server
from tests.support.served import port_of, served
from tests.support.waiting import eventually

S = TypeVar("S", bound=Server)
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
MANY = 100 * 1024 * 1024
"""More than a server that kept it all would get away with unnoticed."""


class Quick(FastPathProtocol):
    """For clients that take too long."""

    limits = ConnectionLimits(head_bytes=2000, headers=10, head_s=0.3, body_s=0.3, body_rate=1000)


class Ahead:
    """The event loop, with a clock that a test sets forward."""

    by_s = 0.0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def time(self) -> float:
        return self._loop.time() + self.by_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class Patient(FastPathProtocol):
    """By a clock that the test sets: a busy machine takes no time of a client."""

    limits = ConnectionLimits(head_bytes=2000, headers=10, head_s=1000, body_s=1000, body_rate=1)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.ahead = Ahead(self.loop)
        self.loop = self.ahead  # type: ignore[assignment]
        super().connection_made(transport)


class CheckingServer(Server):
    CHECK_EVERY = 1


class PatientServer(Server):
    """Checks connections only when a test says that time has passed."""

    CHECK_EVERY = 2**62

    def is_reading(self) -> bool:
        """Whether there is a request whose head has come, and whose body has not come to its end."""
        return any(not connection._awaits_head for connection in self.patients())

    def patients(self) -> list[Patient]:
        return [one for one in self.server_state.connections if isinstance(one, Patient)]

    def later(self, seconds: float) -> None:
        """So much later all connections are checked."""
        for connection in self.patients():
            connection.ahead.by_s += seconds
            sweep([connection], connection.ahead.time(), 0)


class Reading:
    """Answers with the size of the body."""

    size = 0

    def has_read(self, size: int) -> bool:
        return self.size == size

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        self.size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.size += len(message["body"])
            if not message["more_body"]:
                break
        body = str(self.size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def quick_port() -> AsyncIterator[int]:
    async with served(Reading(), CheckingServer, Quick) as server:
        yield port_of(server)


@pytest.fixture
def app() -> Reading:
    return Reading()


@pytest.fixture
async def server(app: Reading) -> AsyncIterator[PatientServer]:
    async with served(app, PatientServer, Patient) as server:
        yield server


@pytest.fixture
def port(server: PatientServer) -> int:
    return port_of(server)


async def told(port: int, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Everything that the server says until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard: list[bytes] = []
    hearing = asyncio.create_task(_hear(reader, heard))
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
    await hearing
    writer.close()
    return b"".join(heard)


async def _hear(reader: asyncio.StreamReader, heard: list[bytes]) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            heard.append(piece)


def is_problem(answer: bytes, status: int) -> bool:
    return answer.startswith(b"HTTP/1.1 %d " % status) and b"application/problem+json" in answer


async def test_a_head_that_never_ends(quick_port: int) -> None:
    """408, though there is always a little more of it."""
    lines = [b"X-%d: y\r\n" % number for number in range(30)]
    assert is_problem(await told(quick_port, HEAD, *lines[:9], pause_s=0.1), 408)


async def test_a_client_that_says_nothing(quick_port: int) -> None:
    """Is let go without a word, which it has not asked for."""
    assert await told(quick_port) == b""


async def test_a_body_that_trickles(quick_port: int) -> None:
    """408, however long it may go on."""
    head = HEAD + b"Content-Length: 1000\r\n\r\n"
    assert is_problem(await told(quick_port, head, *[b"x"] * 10, pause_s=0.1), 408)


async def test_a_body_that_is_slow_but_steady(server: PatientServer, port: int, app: Reading) -> None:
    """Is waited for, longer than a body may take of which nothing comes; one that stops is not."""
    for pieces, answer in ((10, b"200"), (9, b"408")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Connection: close\r\nContent-Length: 2000\r\n\r\n")
        for number in range(pieces):
            writer.write(b"x" * 200)
            await eventually(partial(app.has_read, 200 * (number + 1)))
            server.later(180)
        server.later(2000)
        assert (await reader.read()).startswith(b"HTTP/1.1 " + answer)
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X: " + b"y" * 3000 + b"\r\n\r\n",
        b"GET /" + b"y" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(20)) + b"\r\n",
    ],
    ids=["long header", "long path", "many headers"],
)
async def test_a_head_that_is_too_large(port: int, head: bytes) -> None:
    """431, at once."""
    assert is_problem(await told(port, head), 431)


async def test_a_header_without_end(port: int) -> None:
    """Is refused after the first pieces, and not kept."""
    piece = b"y" * 65536
    answer = await told(port, HEAD + b"X: ", *[piece] * (MANY // len(piece)))
    assert is_problem(answer, 431) or answer == b""  # what was sent after the answer may have cut it off


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"0\r\nX: ", b"y" * 65536),
        (b"0\r\n", b"X-Forwarded-For: 192.0.2.1\r\n" * 2000),
        (b"5;x=", b"y" * 65536),
        (b"", b"1;%s\r\nx\r\n" % (b"y" * 1000) * 64),
        (b"", b"0" * 65536),
    ],
    ids=["a trailer", "trailers", "an extension", "extensions", "zeros of a size"],
)
async def test_framing_without_end(port: int, app: Reading, before: bytes, piece: bytes) -> None:
    """Is refused after the first pieces, and not kept."""
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + before
    assert is_problem(await told(port, head, *[piece] * 64), 413)
    assert app.size < 1000


async def test_small_chunks(port: int) -> None:
    """Their sizes are no extensions."""
    body = b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"
    answer = await told(port, HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n", body)
    assert answer.endswith(b"\r\n\r\n20000")


async def test_requests_sent_ahead_without_end(port: int) -> None:
    """Are answered up to a bound, and the next is refused; the client that reads on gets them all."""
    answer = await told(port, *[b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5000] * 4)
    assert 128 <= answer.count(b"HTTP/1.1 200 ") < 20_000
    assert answer.count(b"HTTP/1.1 429 ") == 1
    assert b"HTTP/1.1 200 " not in answer.partition(b"HTTP/1.1 429 ")[2]


async def test_rubbish(port: int) -> None:
    """400 as a problem."""
    assert is_problem(await told(port, b"\x00\x01 rubbish\r\n\r\n"), 400)


async def test_connections_that_are_kept(server: PatientServer, port: int) -> None:
    """One request after the other, however long all of them together take; each has its own time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(5):
        writer.write(HEAD + b"Content-Length: 2\r\n\r\nx")
        await eventually(lambda: server.is_reading())
        server.later(900)
        writer.write(b"x")
        assert (await reader.readuntil(b"\r\n\r\n2")).startswith(b"HTTP/1.1 200")
        server.later(900)
    writer.close()


async def test_requests_in_one_piece(port: int) -> None:
    """Are many heads, not one large one."""
    one = HEAD + b"X: " + b"y" * 900 + b"\r\nContent-Length: 0\r\n\r\n"
    last = HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    assert (await told(port, one * 5 + last)).count(b"HTTP/1.1 200") == 6


async def test_who_connects_is_not_left_waiting(server: PatientServer, port: int) -> None:
    """A busy loop has few turns a second, and accepts several connections in each."""
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))  # blocks: the loop has no turn meanwhile
        before = len(server.server_state.connections)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(server.server_state.connections) >= before + 40
