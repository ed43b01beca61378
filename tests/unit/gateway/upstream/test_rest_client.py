"""The HTTP client of REST panels, against a server that says exactly what it is told to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from services.gateway.upstream.errors import BadAnswer, Refused, Unreachable
from services.gateway.upstream.http1 import ConnectionPool, header_lines
from services.gateway.upstream.resilience import MAX_PANEL_BYTES
from services.gateway.upstream.rest_client import RestClient, body_of
from tests.support.waiting import eventually

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
UNTIL_END = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
CLOSE = b""


@dataclass
class Server:
    """Answers each request with the next line of its script, piece by piece, and then with `GOOD`; closes at
    `CLOSE`."""

    script: list[list[bytes]] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    accepted: int = 0
    open: int = 0
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open += 1
        try:
            while not writer.is_closing():
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                for piece in self.script.pop(0) if self.script else [GOOD]:
                    if piece == CLOSE:
                        writer.close()
                    else:
                        writer.write(piece)
                        await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


Start = Callable[..., Awaitable[tuple[Server, RestClient, ConnectionPool]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a server with a script, and a client for it with one pool, which must be idle in the end."""
    async with AsyncExitStack() as stack:
        pools: list[ConnectionPool] = []

        async def started(*script: list[bytes], **headers: str) -> tuple[Server, RestClient, ConnectionPool]:
            server = await stack.enter_async_context(Server(list(script)).running())
            pool = ConnectionPool(server.url, 60, 10, gets=True)
            pools.append(pool)
            stack.callback(pool.close)
            client = await stack.enter_async_context(RestClient([pool], headers.items()))
            return server, client, pool

        yield started
        assert not any(pool.busy for pool in pools)


async def get(client: RestClient, server: Server, path: str = "/") -> tuple[int, bytes]:
    response = await client.send(httpx.Request("GET", server.url + path))
    return response.status_code, body_of(response)


async def test_a_request_and_its_response(start: Start) -> None:
    """The request has the client's headers and its own; the response has all of its headers, and the body as it was
    sent."""
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX-Who: caf\xe9\r\nContent-Length: 3\r\n\r\n\x1f\x8b!"
    server, client, _ = await start([packed], **{"User-Agent": "ours", "X-Key": "secret"})
    extensions = {"target": b"/base/a?b=c"}
    request = httpx.Request(
        "GET", server.url, headers=[(b"A", b"b")], stream=httpx.ByteStream(b""), extensions=extensions
    )
    response = await client.send(request)
    assert (response.status_code, body_of(response)) == (200, b"\x1f\x8b!")
    assert (response.headers["Content-Encoding"], response.headers["X-Who"]) == ("gzip", "café")
    first, *lines = server.requests[0].decode().rstrip().split("\r\n")
    assert first == "GET /base/a?b=c HTTP/1.1"
    assert [line.lower() for line in lines] == [
        f"host: {server.url.removeprefix('http://')}",
        "accept: application/json",
        "accept-encoding: identity",
        "user-agent: ours",
        "x-key: secret",
        "a: b",
    ]


@pytest.mark.parametrize("status", [200, 201, 204, 302, 304, 401, 404, 429, 500, 599])
async def test_every_status_is_a_response(start: Start, status: int) -> None:
    """And the connection serves the next request."""
    body = b"" if status in (204, 304) else b"{}"
    server, client, _ = await start([b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)])
    assert await get(client, server) == (status, body)
    assert await get(client, server) == (200, b"{}")
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ([UNTIL_END + b"{}", CLOSE], b"{}"),
        ([UNTIL_END, b"{", b"}", CLOSE], b"{}"),
        ([UNTIL_END, CLOSE], b""),
        ([b"HTTP/1.0 200 OK\r\n\r\n[1]", CLOSE], b"[1]"),
        ([b"HTTP/1.1 103 X\r\nLink: x\r\n\r\n" + UNTIL_END + b"{}", CLOSE], b"{}"),
    ],
    ids=["at once", "in pieces", "empty", "HTTP/1.0", "provisional first"],
)
async def test_a_body_may_end_with_the_connection(start: Start, pieces: list[bytes], body: bytes) -> None:
    """As those of old and simple servers do."""
    server, client, pool = await start(pieces)
    assert await get(client, server) == (200, body)
    assert pool.idle == 0
    assert await get(client, server) == (200, b"{}")


@pytest.mark.parametrize(
    "pieces",
    [
        [CLOSE],
        [b"HTTP/1.1 200 OK\r\n", CLOSE],
        [b"HTTP/1.1 103 X\r\nLink: x\r\n\r\n", CLOSE],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", CLOSE],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", CLOSE],
        [b"rubbish\r\n\r\n", CLOSE],
    ],
    ids=["nothing", "part of the head", "provisional only", "length", "chunks", "not HTTP"],
)
async def test_what_is_cut_off_is_no_response(start: Start, pieces: list[bytes]) -> None:
    server, client, _ = await start(pieces)
    with pytest.raises(BadAnswer) as raised:
        await get(client, server)
    assert type(raised.value) is BadAnswer
    assert await get(client, server) == (200, b"{}")


async def test_a_closed_connection_is_no_response_of_the_one_before(start: Start) -> None:
    """A 204 has no length either; the next request is sent again, on another connection."""
    server, client, _ = await start([b"HTTP/1.1 204 No Content\r\n\r\n"], [CLOSE])
    assert await get(client, server) == (204, b"")
    assert await get(client, server) == (200, b"{}")
    assert (server.accepted, len(server.requests)) == (2, 3)


@pytest.mark.parametrize("head", [b"Content-Length: 9999999\r\n", b""], ids=["declared", "until the end"])
async def test_more_than_a_panel_is_broken_off(start: Start, head: bytes) -> None:
    """The service is healthy: its response is refused."""
    large = b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b" " * (MAX_PANEL_BYTES + 1)
    server, client, pool = await start([large])
    with pytest.raises(Refused, match="more than"):
        await get(client, server)
    await eventually(lambda: server.open == 0)
    assert pool.idle == 0


async def test_nobody_there() -> None:
    pool = ConnectionPool("http://127.0.0.1:1", 60, 1, gets=True)
    async with RestClient([pool], ()) as client:
        with pytest.raises(Unreachable):
            await client.send(httpx.Request("GET", "http://127.0.0.1:1/"))
    assert pool.busy == 0


async def test_a_cancelled_request_closes_its_connection(start: Start) -> None:
    server, client, pool = await start([UNTIL_END])
    task = asyncio.create_task(get(client, server))
    await eventually(lambda: bool(server.requests))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (task.cancelled(), pool.busy) == (True, 0)
    await eventually(lambda: server.open == 0)


async def test_each_replica_has_its_own_connections() -> None:
    """However its address is written."""
    async with Server().running() as one, Server().running() as other:
        spelled = [one.url, other.url.replace("http:", "HTTP:")]
        pools = [ConnectionPool(url, 60, 10, gets=True) for url in spelled]
        async with RestClient(pools, ()) as client:
            for url in (*spelled, spelled[1]):
                await client.send(httpx.Request("GET", url))
        assert (len(one.requests), len(other.requests)) == (1, 2)
        for pool in pools:
            pool.close()


@pytest.mark.parametrize("value", [b"a\r\nB: c", b"a\nB: c", b"a\rB: c", b"a\0"])
def test_a_header_forges_no_other(value: bytes) -> None:
    with pytest.raises(BadAnswer):
        header_lines([(b"A", value)])
    with pytest.raises(BadAnswer):
        header_lines([(value, b"a")])


def test_headers_are_lines() -> None:
    assert header_lines([(b"A", b"b"), (b"C", b"")]) == b"A: b\r\nC: \r\n"
