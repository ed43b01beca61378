"""The panel client against a server that says exactly what it is told to."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.gateway.upstream.errors import BadAnswer, NotTrusted, Refused, Unreachable, UpstreamFailed
from services.gateway.upstream.http1 import AROUND_BODY_BYTES, ConnectionPool, Request
from tests.support.waiting import eventually

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
LIMIT = 1000
CLOSE = None

Piece = bytes | None | asyncio.Event


@dataclass
class Server:
    """Sends its script's next line for each request, piece by piece; closes at `CLOSE`, and waits for an event."""

    script: list[list[Piece]]
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
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                self.requests.append(head + await reader.readexactly(length))
                for piece in self.script.pop(0) if self.script else [GOOD]:
                    await self._play(piece, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _play(self, piece: Piece, writer: asyncio.StreamWriter) -> None:
        if piece is CLOSE:
            writer.close()
        elif isinstance(piece, asyncio.Event):
            await piece.wait()
        else:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)


class Asked:
    """A request, and what came of it."""

    def __init__(self, pool: ConnectionPool, max_bytes: int = LIMIT) -> None:
        self.told: list[bytes | UpstreamFailed] = []
        self._told = asyncio.Event()
        self.request: Request = pool.post("/panels", "A: b\r\n", b"[1]", max_bytes, self)

    def received(self, body: bytes) -> None:
        self.told.append(body)
        self._told.set()

    def failed(self, failure: UpstreamFailed) -> None:
        self.told.append(failure)
        self._told.set()

    async def outcome(self) -> bytes:
        """What it was told, which is told once. Raises a failure."""
        await self._told.wait()
        [told] = self.told
        if isinstance(told, UpstreamFailed):
            raise told
        return told


Start = Callable[..., Awaitable[tuple[Server, ConnectionPool]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a server with a script, and a pool of connections to it, which must be idle in the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def started(*script: list[Piece], max_idle: int = 10) -> tuple[Server, ConnectionPool]:
            server = await stack.enter_async_context(Server(list(script)).running())
            pool = ConnectionPool(f"http://127.0.0.1:{server.port}/base/", 60, max_idle)
            pools.append(pool)
            stack.callback(pool.close)
            return server, pool

        pools: list[ConnectionPool] = []
        yield started
        assert not any(pool.busy for pool in pools)


async def ask(pool: ConnectionPool, max_bytes: int = LIMIT) -> bytes:
    return await Asked(pool, max_bytes).outcome()


async def test_a_question_and_its_answer(start: Start) -> None:
    """Path, headers and body arrive as one request; the connection serves the next question, too."""
    server, pool = await start()
    assert [await ask(pool), await ask(pool)] == [b"{}", b"{}"]
    assert server.accepted == 1
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /base/panels HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}".encode() in head
    assert b"A: b" in head
    assert body == b"[1]"


@pytest.mark.parametrize(
    "pieces",
    [
        [CHUNKED],
        [EARLY, GOOD],
        [EARLY + EARLY + GOOD],
        [GOOD.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), CLOSE],
    ],
    ids=["chunked", "provisional first", "two provisional in one piece", "closed after it"],
)
async def test_every_form_of_an_answer_is_read(start: Start, pieces: list[Piece]) -> None:
    """And what comes after it is answered as well."""
    _, pool = await start(pieces)
    assert [await ask(pool), await ask(pool)] == [b"{}", b"{}"]


@pytest.mark.parametrize("whole", [GOOD, CHUNKED, EARLY + GOOD], ids=["counted", "chunked", "provisional first"])
async def test_an_answer_may_be_cut_anywhere(start: Start, whole: bytes) -> None:
    """Into two pieces at each place, and into single bytes: the same answer, on the same connection."""
    cuts: list[list[Piece]] = [[whole[:place], whole[place:]] for place in range(1, len(whole))]
    server, pool = await start(*cuts, [whole[place : place + 1] for place in range(len(whole))])
    for _ in range(len(cuts) + 1):
        assert await ask(pool) == b"{}"
    assert server.accepted == 1
    assert server.script == []


def with_length(length: int, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (length, body)


def status(code: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % code


@pytest.mark.parametrize(
    ("pieces", "failure"),
    [
        ([status(500)], BadAnswer),
        ([status(302)], BadAnswer),
        ([status(201)], BadAnswer),
        ([status(404)], Refused),
        ([status(429)], Refused),
        ([status(401)], NotTrusted),
        ([status(403)], NotTrusted),
        ([b"rubbish\r\n\r\n"], BadAnswer),
        ([b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"], BadAnswer),
        ([with_length(9, b"{}"), CLOSE], BadAnswer),
        ([CHUNKED[:-5], CLOSE], BadAnswer),
        ([EARLY, CLOSE], BadAnswer),
        ([CLOSE], BadAnswer),
    ],
    ids=[
        "500",
        "redirect",
        "201",
        "404",
        "429",
        "401",
        "403",
        "rubbish",
        "another protocol",
        "cut off",
        "chunks cut off",
        "provisional only",
        "nothing",
    ],
)
async def test_what_is_no_answer(start: Start, pieces: list[Piece], failure: type[UpstreamFailed]) -> None:
    """Says which kind of failure it is, and costs the next question nothing."""
    _, pool = await start(pieces)
    with pytest.raises(failure) as raised:
        await ask(pool)
    assert type(raised.value) is failure
    assert await ask(pool) == b"{}"


# Limits.


def chunks(size: int) -> bytes:
    """A body of so many bytes in pieces of one."""
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * size + b"0\r\n\r\n"


@pytest.mark.parametrize("whole", [with_length(LIMIT, b" " * LIMIT), chunks(LIMIT)], ids=["counted", "chunked"])
async def test_a_body_may_be_as_large_as_allowed(start: Start, whole: bytes) -> None:
    """However many bytes there are around it."""
    _, pool = await start([whole])
    assert await ask(pool) == b" " * LIMIT


@pytest.mark.parametrize(
    "whole",
    [with_length(LIMIT + 1, b" " * (LIMIT + 1)), chunks(LIMIT + 1), EARLY * (AROUND_BODY_BYTES // len(EARLY) + 30)],
    ids=["counted", "chunked", "provisional answers"],
)
@pytest.mark.parametrize("step", [600, 10**7], ids=["in pieces", "at once"])
async def test_more_than_allowed_is_broken_off(start: Start, whole: bytes, step: int) -> None:
    """In the body or around it, before or after the end of the answer; the connection is closed."""
    pieces: list[Piece] = [whole[place : place + step] for place in range(0, len(whole), step)]
    server, pool = await start(pieces)
    with pytest.raises(BadAnswer, match="more than"):
        await ask(pool)
    await eventually(lambda: server.open == 0)
    assert pool.idle == 0
    assert await ask(pool) == b"{}"


async def test_limits_are_of_one_exchange(start: Start) -> None:
    """Not of the connection."""
    rounds = 5
    _, pool = await start(*[[EARLY * (AROUND_BODY_BYTES // len(EARLY) // 2) + GOOD] for _ in range(rounds)])
    assert [await ask(pool) for _ in range(rounds)] == [b"{}"] * rounds


# Connections that end.


async def test_a_connection_that_was_given_up_meanwhile_is_replaced(start: Start) -> None:
    """What a server closed while it was idle is not the question's failure: it is asked again on a new connection."""
    server, pool = await start([GOOD], [CLOSE])
    assert await ask(pool) == b"{}"
    assert await ask(pool) == b"{}"
    assert (server.accepted, len(server.requests)) == (2, 3)


async def test_an_idle_connection_that_the_server_closes_is_not_used(start: Start) -> None:
    """Nothing is sent on it any more."""
    server, pool = await start([GOOD, CLOSE])
    assert await ask(pool) == b"{}"
    await eventually(lambda: server.open == 0)
    assert await ask(pool) == b"{}"
    assert (server.accepted, len(server.requests)) == (2, 2)


async def test_where_all_were_given_up_meanwhile_a_new_one_is_made(start: Start) -> None:
    """After each has been tried."""
    hold = asyncio.Event()
    server, pool = await start([hold, GOOD], [hold, GOOD], [hold, GOOD], [CLOSE], [CLOSE], [CLOSE])
    asked = [Asked(pool) for _ in range(3)]
    hold.set()
    assert [await each.outcome() for each in asked] == [b"{}"] * 3
    assert pool.idle == 3
    assert await ask(pool) == b"{}"
    assert server.accepted == 4


async def test_an_answer_that_was_begun_is_not_asked_for_again(start: Start) -> None:
    """That failure is told."""
    server, pool = await start([GOOD], [b"HTTP/1.1 200 OK\r\n", CLOSE])
    await ask(pool)
    with pytest.raises(BadAnswer):
        await ask(pool)
    assert len(server.requests) == 2


@pytest.mark.parametrize("surplus", [GOOD, GOOD[:1], GOOD[:20], status(500)], ids=["whole", "a byte", "head", "500"])
async def test_words_that_nobody_asked_for_end_the_connection(start: Start, surplus: bytes) -> None:
    """They cannot become the next question's answer, whether they come with an answer or after it."""
    server, pool = await start([GOOD + surplus], [GOOD, surplus])
    for connections in (1, 2):
        assert await ask(pool) == b"{}"
        await eventually(lambda: server.open == 0)
        assert server.accepted == connections
        assert pool.idle == 0 or connections == 2
    assert await ask(pool) == b"{}"
    assert server.accepted == 3


async def test_nobody_there() -> None:
    """A refused connection is told as such: nothing was asked."""
    pool = ConnectionPool("http://127.0.0.1:1", 60, 1)
    with pytest.raises(Unreachable):
        await ask(pool)
    assert pool.busy == 0


async def test_a_server_that_does_not_take_the_connection_in_time() -> None:
    """Is as good as not there."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pool = ConnectionPool(f"https://127.0.0.1:{silent.getsockname()[1]}", 0.05, 1)
        with pytest.raises(Unreachable, match="no connection in time"):
            await ask(pool)
        assert pool.busy == 0


# Giving up.


async def test_who_gives_up_closes_the_connection(start: Start) -> None:
    """A cancelled question leaves no connection behind, on either side, and is told nothing."""
    server, pool = await start([])
    asked = Asked(pool)
    assert pool.busy == 1
    await eventually(lambda: bool(server.requests))
    asked.request.cancel()
    assert pool.busy == 0
    asked.request.cancel()
    assert pool.busy == 0
    await eventually(lambda: server.open == 0)
    assert pool.idle == 0
    assert asked.told == []
    assert await ask(pool) == b"{}"


async def test_who_gives_up_within_an_answer_closes_the_connection(start: Start) -> None:
    """The rest of it is nobody's answer."""
    server, pool = await start([GOOD[:20]])
    asked = Asked(pool)
    await eventually(lambda: bool(server.requests))
    asked.request.cancel()
    await eventually(lambda: server.open == 0)
    assert asked.told == []
    assert await ask(pool) == b"{}"


@pytest.mark.parametrize("turns", range(6))
async def test_who_gives_up_while_connecting_leaves_nothing_behind(start: Start, turns: int) -> None:
    """However far that has come."""
    server, pool = await start([])
    asked = Asked(pool)
    for _ in range(turns):
        await asyncio.sleep(0)
    connecting = asked.request.connecting
    assert connecting is not None
    asked.request.cancel()
    assert pool.busy == 0
    await asyncio.wait([connecting])
    await eventually(lambda: server.open == 0)
    assert asked.told == []
    assert pool.idle == 0
    server.script.clear()
    assert await ask(pool) == b"{}"


class Sink(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written += data

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


class InstantLoop(asyncio.SelectorEventLoop):
    """Every connection is open at once, and leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.sink = Sink()

    async def create_connection(self, factory: Callable[[], asyncio.Protocol], *_: object, **__: object) -> Any:  # type: ignore[override]
        protocol = factory()
        protocol.connection_made(self.sink)
        return self.sink, protocol


def test_who_gives_up_at_the_moment_of_connecting_sends_nothing() -> None:
    """The connection is open, and its request has not been sent yet."""

    async def give_up() -> None:
        pool = ConnectionPool("http://example", 60, 10)
        asked = Asked(pool)
        asyncio.get_running_loop().call_soon(asked.request.cancel)
        for _ in range(3):
            await asyncio.sleep(0)
        assert (asked.told, pool.busy, pool.idle) == ([], 0, 0)

    loop = InstantLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(give_up())
    assert (loop.sink.written, loop.sink.is_aborted) == (b"", True)


async def test_who_gives_up_after_the_answer_ends_nothing(start: Start) -> None:
    """The connection may serve another question by then."""
    hold = asyncio.Event()
    _, pool = await start([GOOD], [hold, GOOD])
    first = Asked(pool)
    await first.outcome()
    second = Asked(pool)
    first.request.cancel()
    hold.set()
    assert await second.outcome() == b"{}"


# How many are kept.


async def test_no_more_idle_connections_than_allowed(start: Start) -> None:
    """As many as there are questions at a time; afterwards the rest is closed, and with the pool all."""
    server, pool = await start(max_idle=2)
    asked = [Asked(pool) for _ in range(5)]
    assert pool.busy == 5
    for each in asked:
        assert await each.outcome() == b"{}"
    assert (pool.busy, pool.idle) == (0, 2)
    assert server.accepted == 5
    await eventually(lambda: server.open == 2)
    pool.close()
    await eventually(lambda: server.open == 0)


async def test_a_pool_that_is_closed_keeps_nothing(start: Start) -> None:
    """What is under way then still gets its answer."""
    hold = asyncio.Event()
    server, pool = await start([hold, GOOD])
    asked = Asked(pool)
    await eventually(lambda: bool(server.requests))
    pool.close()
    hold.set()
    assert await asked.outcome() == b"{}"
    await eventually(lambda: server.open == 0)
    assert pool.idle == 0
