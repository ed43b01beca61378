"""What clients may send, and how long they may take, before the server ends the connection."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from shared.connection import ConnectionLimits, GuardedProtocol
from shared.serve import Server
from tests.support.waiting import eventually

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
MANY = 100 * 1024 * 1024
"""More than a server that kept it all would get away with unnoticed."""


class Quick(GuardedProtocol):
    limits = ConnectionLimits(head_bytes=2000, headers=10, head_s=0.3, body_s=0.3, body_rate=1000)


class QuickServer(Server):
    CHECK_EVERY = 1
    latest: "QuickServer"

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        QuickServer.latest = self


async def read_all(_: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    body = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(read_all, port=0, lifespan="off", http=Quick, ws="none", log_config=None, access_log=False)
    server = QuickServer(config)
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


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


async def test_a_head_that_never_ends(port: int) -> None:
    """408, though there is always a little more of it."""
    lines = [b"X-%d: y\r\n" % number for number in range(30)]
    assert is_problem(await told(port, HEAD, *lines[:9], pause_s=0.1), 408)


async def test_a_client_that_says_nothing(port: int) -> None:
    """Is let go without a word, which it has not asked for."""
    assert await told(port) == b""


async def test_a_body_that_trickles(port: int) -> None:
    """408, however long it may go on."""
    head = HEAD + b"Content-Length: 1000\r\n\r\n"
    assert is_problem(await told(port, head, *[b"x"] * 10, pause_s=0.1), 408)


async def test_a_body_that_is_slow_but_steady(port: int) -> None:
    """Is waited for."""
    head = HEAD + b"Connection: close\r\nContent-Length: 2000\r\n\r\n"
    assert (await told(port, head, *[b"x" * 200] * 10, pause_s=0.08)).endswith(b"2000")


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


async def test_rubbish(port: int) -> None:
    """400 as a problem."""
    assert is_problem(await told(port, b"\x00\x01 rubbish\r\n\r\n"), 400)


async def test_connections_that_are_kept(port: int) -> None:
    """One request after the other, however long all of them together take; each has its own time."""
    one = HEAD + b"Content-Length: 1\r\n\r\nx"
    last = HEAD + b"Connection: close\r\nContent-Length: 1\r\n\r\nx"
    answer = await told(port, one, one, one, one, last, pause_s=0.15)
    assert answer.count(b"HTTP/1.1 200") == 5


async def test_requests_in_one_piece(port: int) -> None:
    """Are many heads, not one large one."""
    one = HEAD + b"X: " + b"y" * 900 + b"\r\nContent-Length: 0\r\n\r\n"
    last = HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    assert (await told(port, one * 5 + last)).count(b"HTTP/1.1 200") == 6


async def test_who_connects_is_not_left_waiting(port: int) -> None:
    """A busy loop has few turns a second, and accepts several connections in each."""
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))  # blocks: the loop has no turn meanwhile
        before = len(QuickServer.latest.server_state.connections)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(QuickServer.latest.server_state.connections) >= before + 40
