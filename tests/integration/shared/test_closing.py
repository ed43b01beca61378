"""How connections end: the last answer arrives, and a broken one is noticed."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from shared.server.fast_path import FastPathProtocol
from shared.server.serve import Server
from tests.support.served import port_of, served
from tests.support.waiting import eventually

LARGE = 5 * 1024 * 1024
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Brief(FastPathProtocol):
    """Does not listen for long after the last answer."""

    linger_s = 0.2
    linger_bytes = 8 * 1024 * 1024


async def too_large(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"no"})


async def streamed(scope: Scope, _receive: Receive, send: Send) -> None:
    """Breaks off in the middle under `/broken`."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first ", "more_body": True})
    if scope["path"] == "/broken":
        raise RuntimeError("broken off")
    await send({"type": "http.response.body", "body": b"second ", "more_body": True})
    await send({"type": "http.response.body", "body": b"third"})


async def sent_first(port: int, *pieces: bytes) -> bytes:
    """What a client hears that reads only when all of its request is out, as urllib does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
@pytest.mark.parametrize("framing", ["length", "chunks", "1.0"])
async def test_a_client_that_sends_all_before_it_reads(connection: str, framing: str) -> None:
    """Gets the refusal of its large body, and then the end."""
    version = "1.0" if framing == "1.0" else "1.1"
    head = f"POST / HTTP/{version}\r\nHost: x\r\nConnection: {connection}\r\n".encode()
    if framing == "chunks":
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        pieces = [b"10000\r\n" + b"x" * 65536 + b"\r\n"] * (LARGE // 65536) + [b"0\r\n\r\n"]
    else:
        head += b"Content-Length: %d\r\n\r\n" % LARGE
        pieces = [b"x" * 65536] * (LARGE // 65536)
    async with served(too_large, Server) as server:
        answer = await sent_first(port_of(server), head, *pieces)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert answer.endswith(b"\r\n\r\nno")
        await eventually(lambda: not server.server_state.connections)


async def test_a_small_body_keeps_the_connection() -> None:
    """Though it comes after its refusal."""
    async with served(too_large, Server) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 413 ")
            writer.write(b"x" * 1000)
        writer.close()


@pytest.mark.parametrize("forever", ["silent", "sending"])
async def test_nobody_is_listened_to_for_ever(forever: str) -> None:
    """A client that stays, or sends on, after its refusal."""
    async with served(too_large, Server, Brief) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while forever == "sending":
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                await writer.drain()
            writer.write(b"rubbish\r\n\r\n")
            await reader.read()
        await eventually(lambda: not server.server_state.connections)
        writer.close()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_an_answer_that_breaks_off(version: str) -> None:
    """Resets the connection."""
    async with served(streamed, Server) as server:
        with pytest.raises(ConnectionResetError):
            await sent_first(port_of(server), f"GET /broken HTTP/{version}\r\nHost: x\r\n\r\n".encode())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_http_1_0_has_no_chunks(method: str) -> None:
    """An answer of unknown length ends with the connection."""
    async with served(streamed, Server) as server:
        answer = await sent_first(port_of(server), f"{method} / HTTP/1.0\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body == (b"first second third" if method == "GET" else b"")


async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    """And nothing after it is answered."""
    go_on = asyncio.Event()

    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        await go_on.wait()
        await too_large(_scope, _receive, send)

    async with served(slow, Server) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(get + get + b"rubbish\r\n\r\n" + get)
        await eventually(lambda: len(server.server_state.tasks) == 1)
        go_on.set()
        answer = await reader.read()
        writer.close()
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"413", b"413", b"400"]
