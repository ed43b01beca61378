"""Requests that are answered in the protocol: which are, in which order, and how they end."""

import asyncio
import gc
import itertools
import weakref
from collections.abc import Callable, Iterator
from http import HTTPStatus

import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from shared.server.connection import Ending
from shared.server.fast_path import Exchange, FastPathProtocol
from tests.support import garbage
from tests.support.http_corpus import Case, broken_bodies, pipelines, singles
from tests.support.wire import Quick, Wire, livez

BODY = b"0123456789"


def get(target: str, fields: bytes = b"") -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (target.encode(), fields)


POST = b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)


def borders(raw: bytes) -> list[int]:
    """After each head, and before and after each request line."""
    found = [place + 4 for place in range(len(raw)) if raw.startswith(b"\r\n\r\n", place)]
    return sorted({*found, raw.find(b"\r\n") + 2})


async def outcome(app: Quick, case: Case, *cuts: int) -> tuple[tuple[int, ...], bool]:
    wire = Wire(app)
    for first, last in itertools.pairwise([0, *cuts, len(case.raw)]):
        await wire.send(case.raw[first:last])
    found = wire.answers, wire.transport.over
    wire.leave()
    return found


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("cut", ["whole", "at borders", "by bytes"])
async def test_every_request_has_one_answer(later: bool, cut: str) -> None:
    """The same as from an application without a fast path, in the same order."""
    app = Quick(later=later, reads=False)
    for case in [*singles(), *(pipelines() if cut != "by bytes" else ())]:
        cuts: dict[str, list[list[int]]] = {
            "whole": [[]],
            "at borders": [[place] for place in borders(case.raw)],
            "by bytes": [list(range(1, len(case.raw)))],
        }
        for places in cuts[cut]:
            assert await outcome(app, case, *places) == (case.answers, case.closes), (case.name, places)
    assert bool(app.times_taken)


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
async def test_a_broken_body_has_one_answer(later: bool) -> None:
    app = Quick(later=later, reads=False)
    for case in broken_bodies():
        for place in range(1, len(case.raw), 3):
            answers, closed = await outcome(app, case, place)
            assert (len(answers), closed) == (1, True), (case.name, place)


@pytest.mark.parametrize("raw", [get("/"), POST + BODY], ids=["head", "body"])
async def test_a_request_in_one_piece_is_taken(raw: bytes) -> None:
    """Its body with it, and the next as well."""
    app = Quick()
    wire = Wire(app)
    for times in (1, 2):
        await wire.send(raw)
        assert app.times_taken == times
    assert [way for way, _ in wire.answered_by] == ["fast", "fast"]
    assert app.bodies == [raw.partition(b"\r\n\r\n")[2]] * 2


@pytest.mark.parametrize("cut", [0, 1, len(BODY) - 1])
async def test_a_body_in_two_pieces_goes_to_the_application(cut: int) -> None:
    """All of it, and what has come of it is counted once."""
    app = Quick()
    wire = Wire(app)
    wire.receive(POST + BODY[:cut])
    wire.receive(BODY[cut:])
    await wire.settle()
    assert app.bodies == [BODY]
    assert (app.times_taken, wire.answered_by) == (0, [("application", "/post")])
    assert wire.protocol._body_bytes == len(BODY)


@pytest.mark.parametrize(
    "raw",
    [
        get("/", b"Connection: close\r\n"),
        get("/", b"Upgrade: h2c\r\n"),
        get("/", b"Expect: 100-continue\r\n"),
        b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n" + bytes(65537),
    ],
    ids=["close", "upgrade", "expect", "1.0", "chunks", "large"],
)
async def test_what_is_not_ordinary_is_not_offered(raw: bytes) -> None:
    app = Quick()
    wire = Wire(app)
    await wire.send(raw)
    assert (app.times_taken, wire.answered_by) == (0, [("application", "/")])


async def test_answers_keep_their_order() -> None:
    """What follows a slow one waits for it, and goes to the application."""
    app = Quick(later=True, soon=False)
    wire = Wire(app)
    await wire.send(get("/1") + get("/2") + get("/3"))
    assert wire.answered_by == []
    assert not wire.transport.reading
    app.taken[0].answer()
    await wire.settle()
    assert wire.answered_by == [("fast", "/1"), ("application", "/2"), ("application", "/3")]
    assert wire.transport.reading
    await wire.send(get("/4"))
    assert len(app.taken) == 2


@pytest.mark.parametrize("behind", [b"", get("/2")], ids=["alone", "with another behind it"])
async def test_a_client_that_leaves(behind: bytes) -> None:
    """Is told to the exchange once."""
    app = Quick(later=True, soon=False)
    wire = Wire(app)
    await wire.send(get("/1") + behind)
    wire.leave()
    await wire.settle()
    assert app.taken[0].times_left == 1
    assert wire.answers == ()


async def test_a_client_that_leaves_after_its_answer() -> None:
    """Is told to nobody."""
    app = Quick(later=True, soon=False)
    wire = Wire(app)
    await wire.send(get("/1"))
    app.taken[0].answer()
    wire.leave()
    assert app.taken[0].times_left == 0


async def test_a_fast_path_with_a_defect() -> None:
    """Is logged, and the application answers."""

    class Broken(Quick):
        def take(self, protocol: FastPathProtocol) -> Exchange | None:  # noqa: ARG002  as a fast path has it
            raise KeyError("a defect")

    wire = Wire(Broken())
    with capture_logs() as logs:
        await wire.send(get("/1") + POST + BODY)
    assert wire.answered_by == [("application", "/1"), ("application", "/post")]
    assert [line["event"] for line in logs] == ["request could not be answered in the protocol"] * len(logs)
    assert logs


async def test_what_is_handed_over_keeps_its_place() -> None:
    """In the pipeline; and its body."""
    app = Quick(later=True, soon=False)
    wire = Wire(app)
    await wire.send(POST + BODY + get("/2"))
    wire.protocol.hand_over(app.taken[0], {"told": True})
    await wire.settle()
    assert wire.answered_by == [("application", "/post"), ("application", "/2")]
    assert app.bodies == [BODY, BODY, b""]
    await wire.send(get("/3"))
    assert [exchange.url for exchange in app.taken] == [b"/post", b"/3"]


async def test_what_is_handed_over_at_once_is_answered_by_the_application() -> None:
    """Also when that is before `take` has returned, and those behind it are."""

    class HandsOver(Quick):
        def take(self, protocol: FastPathProtocol) -> Exchange | None:
            exchange = super().take(protocol)
            if exchange is not None:
                protocol.hand_over(exchange, {})
            return exchange

    wire = Wire(HandsOver(later=True, soon=False))
    await wire.send(get("/1"))
    await wire.send(get("/2") + get("/3"))
    assert wire.answered_by == [("application", f"/{number}") for number in (1, 2, 3)]


async def test_what_is_handed_over_says_that_it_is_the_last() -> None:
    """When the server has begun to end meanwhile."""
    app = Quick(later=True, soon=False)
    wire = Wire(app)
    await wire.send(get("/1"))
    wire.protocol.drain()
    wire.protocol.hand_over(app.taken[0], {})
    await wire.settle()
    assert b"\r\nconnection: close\r\n" in wire.transport.written
    assert wire.transport.is_closing()


async def test_a_client_that_leaves_after_the_hand_over() -> None:
    """Is told to the application, and not to the exchange."""
    received = list[str]()

    class Listens(Quick):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as ASGI has it
            received.extend([(await receive())["type"], (await receive())["type"]])

    app = Listens(later=True, soon=False)
    wire = Wire(app)
    await wire.send(get("/1"))
    wire.protocol.hand_over(app.taken[0], {})
    await asyncio.sleep(0)
    wire.leave()
    await wire.settle()
    assert received == ["http.request", "http.disconnect"]
    assert app.taken[0].times_left == 0


def ending(wire: Wire) -> None:
    """The server has begun to end."""
    state = Ending()
    state.has_begun = True
    wire.protocol.server_state = state


async def test_a_server_that_ends_takes_nothing_more() -> None:
    app = Quick()
    wire = Wire(app)
    ending(wire)
    await wire.send(get("/1"))
    assert (app.times_taken, wire.answered_by) == (0, [("application", "/1")])
    assert b"\r\nconnection: close\r\n" in wire.transport.written
    assert wire.transport.is_closing()


@pytest.mark.parametrize("end", [FastPathProtocol.drain, FastPathProtocol.shutdown])
async def test_what_was_taken_before_the_end_is_the_last(end: Callable[[FastPathProtocol], None]) -> None:
    """And says so."""
    app = Quick(later=True, soon=False)
    wire = Wire(app)
    await wire.send(get("/1"))
    end(wire.protocol)
    assert not wire.transport.is_closing()
    app.taken[0].answer()
    assert b"\r\nconnection: close\r\n" in wire.transport.written
    assert wire.transport.is_closing()


async def test_a_refusal_comes_after_what_was_taken() -> None:
    app = Quick(later=True, soon=False)
    wire = Wire(app)
    await wire.send(get("/1") + b"rubbish\r\n\r\n")
    assert not wire.transport.written
    app.taken[0].answer()
    assert wire.answers == (HTTPStatus.OK, HTTPStatus.BAD_REQUEST)
    assert wire.transport.over


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
async def test_a_connection_that_is_idle_is_closed(later: bool) -> None:
    """After the time for which it is kept, counted from its last answer."""
    wire = Wire(Quick(later=later))
    await wire.send(get("/1"))
    ends = wire.protocol.idle_since + wire.protocol.timeout_keep_alive
    wire.protocol.check(ends - 0.1, 1.0)
    assert not wire.transport.is_closing()
    wire.protocol.check(ends + 0.1, 1.0)
    assert wire.transport.is_closing()
    assert wire.answers == (HTTPStatus.OK,)


async def test_a_connection_that_waits_for_its_answer_is_not_idle() -> None:
    app = Quick(later=True, soon=False)
    wire = Wire(app)
    await wire.send(get("/1"))
    wire.protocol.check(wire.protocol.loop.time() + 1000, 1.0)
    assert not wire.transport.is_closing()


async def test_a_body_that_does_not_come_is_refused_in_time() -> None:
    """A request that was held is watched like every other."""
    wire = Wire(Quick())
    wire.receive(POST + BODY[:1])
    wire.protocol.check(wire.protocol.loop.time() + 1000, 1.0)
    assert wire.answers == (HTTPStatus.REQUEST_TIMEOUT,)
    assert wire.transport.over


async def test_a_target_that_cannot_be_parsed_is_refused() -> None:
    """Also where its body has yet to come."""
    for target in (b"/?\xff", b"/\xff", b"/?\x7f", b'/?{|}`^"<>'):
        for body in (b"", b"Content-Length: 5\r\n"):
            outcomes = []
            for app in (Quick(reads=False), livez):
                wire = Wire(app)
                await wire.send(b"POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (target, body))
                await wire.send(b"hello" if body else b"")
                outcomes.append((wire.answers, wire.transport.over))
                wire.leave()
            assert outcomes[0] == outcomes[1], target


@pytest.fixture
def collector() -> Iterator[None]:
    """Off: what is in a cycle stays."""
    garbage.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("handed_over", [False, True], ids=["", "handed over"])
@pytest.mark.parametrize("behind", [b"", get("/2")], ids=["alone", "with another behind it"])
@pytest.mark.parametrize("answered", [False, True], ids=["left", "answered"])
async def test_no_connection_is_left_in_a_cycle(handed_over: bool, behind: bytes, answered: bool) -> None:
    """However it ended."""
    app = Quick(later=True, soon=False)
    wire = Wire(app)
    await wire.send(get("/1") + behind)
    (exchange,) = app.taken
    if handed_over:
        wire.protocol.hand_over(exchange, {})
    elif answered:
        exchange.answer()
    if answered:
        await wire.settle()
    wire.leave()
    await wire.settle()
    known = weakref.ref(wire.protocol)
    app.taken.clear()
    del wire, exchange
    await asyncio.sleep(0)
    assert known() is None
