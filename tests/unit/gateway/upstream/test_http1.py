"""The panel client against a server that says exactly what it is told to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from services.gateway.upstream.errors import BadAnswer, Refused, Unreachable, UpstreamFailed
from services.gateway.upstream.http1 import Wire
from tests.support.waiting import eventually

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LIMIT = 1000


@dataclass
class Server:
    """Sends its script's next line for each request, piece by piece; closes after a None."""

    script: list[list[bytes | None]]
    requests: list[bytes] = field(default_factory=list)
    accepted: int = 0
    open: int = 0
    port: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                for piece in self.script.pop(0) if self.script else [GOOD]:
                    if piece is None:
                        writer.close()
                        break
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


Start = Callable[..., Awaitable[tuple[Server, Wire]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a server with a script, and a wire to it."""
    async with contextlib.AsyncExitStack() as stack:

        async def started(*script: list[bytes | None], most_idle: int = 10) -> tuple[Server, Wire]:
            server = await stack.enter_async_context(Server(list(script)).running())
            wire = Wire(f"http://127.0.0.1:{server.port}/base/", 60, most_idle)
            stack.callback(wire.close)
            return server, wire

        yield started


async def ask(wire: Wire) -> bytes:
    return await wire.post("/panels/user", "A: b\r\n", b"[1]", LIMIT)


async def test_a_question_and_its_answer(start: Start) -> None:
    """Path, headers and body arrive as one request; the connection serves the next question, too."""
    server, wire = await start()
    assert [await ask(wire), await ask(wire)] == [b"{}", b"{}"]
    assert server.accepted == 1
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /base/panels/user HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}".encode() in head
    assert b"A: b" in head
    assert body == b"[1]"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", GOOD],
        [GOOD[:20], GOOD[20:40], GOOD[40:]],
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", None],
    ],
    ids=["chunked", "provisional first", "in pieces", "closed after it"],
)
async def test_every_form_of_an_answer_is_read(start: Start, pieces: list[bytes | None]) -> None:
    """And what comes after it is answered as well."""
    _, wire = await start(pieces)
    assert [await ask(wire), await ask(wire)] == [b"{}", b"{}"]


@pytest.mark.parametrize(
    ("pieces", "failure"),
    [
        ([b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"], BadAnswer),
        ([b"HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n"], BadAnswer),
        ([b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"], Refused),
        ([b"rubbish\r\n\r\n"], BadAnswer),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", None], BadAnswer),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b" " * 2000], BadAnswer),
        ([None], BadAnswer),
    ],
    ids=["500", "redirect", "404", "rubbish", "cut off", "too much", "nothing"],
)
async def test_what_is_no_answer(start: Start, pieces: list[bytes | None], failure: type[UpstreamFailed]) -> None:
    """Says which kind of failure it is, and costs the next question nothing."""
    _, wire = await start(pieces)
    with pytest.raises(failure) as raised:
        await ask(wire)
    assert type(raised.value) is failure or failure is BadAnswer
    assert await ask(wire) == b"{}"


async def test_a_connection_that_was_given_up_meanwhile_is_replaced(start: Start) -> None:
    """What a server closed while it was idle is not the question's failure: it is asked again on a new connection."""
    server, wire = await start([GOOD], [None])
    assert await ask(wire) == b"{}"
    assert await ask(wire) == b"{}"
    assert (server.accepted, len(server.requests)) == (2, 3)


async def test_an_answer_that_was_begun_is_not_asked_for_again(start: Start) -> None:
    """That failure is told."""
    server, wire = await start([GOOD], [b"HTTP/1.1 200 OK\r\n", None])
    await ask(wire)
    with pytest.raises(BadAnswer):
        await ask(wire)
    assert len(server.requests) == 2


async def test_words_that_nobody_asked_for_end_the_connection(start: Start) -> None:
    """They cannot become the next question's answer."""
    server, wire = await start([GOOD + GOOD])
    assert await ask(wire) == b"{}"
    await eventually(lambda: server.open == 0)
    assert await ask(wire) == b"{}"
    assert server.accepted == 2


async def test_nobody_there() -> None:
    """A refused connection is told as such: nothing was asked."""
    with pytest.raises(Unreachable):
        await ask(Wire("http://127.0.0.1:1", 0.5, 1))


async def test_who_gives_up_closes_the_connection(start: Start) -> None:
    """A cancelled question leaves no connection behind, on either side."""
    server, wire = await start([])
    asking = asyncio.create_task(ask(wire))
    await eventually(lambda: bool(server.requests))
    asking.cancel()
    await asyncio.wait([asking])
    await eventually(lambda: server.open == 0)


async def test_no_more_idle_connections_than_allowed(start: Start) -> None:
    """As many as there are questions at a time; afterwards the rest is closed, and with the wire all."""
    server, wire = await start(most_idle=2)
    await asyncio.gather(*(ask(wire) for _ in range(5)))
    assert server.accepted == 5
    await eventually(lambda: server.open == 2)
    wire.close()
    await eventually(lambda: server.open == 0)
