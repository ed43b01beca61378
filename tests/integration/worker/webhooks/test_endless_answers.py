"""Receivers of webhooks that never come to an end: before the status it is a failure, after it no matter."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import trustme

from services.worker.settings import Settings
from services.worker.webhooks.address import AddressPolicy, Target
from services.worker.webhooks.client import ANSWER_BYTES, PIECE_BYTES, Answer, CallFailed, CheckedNetwork, Client
from services.worker.webhooks.settings import WebhookTuning
from tests.support.worker.endless import endless
from tests.support.worker.hooks import QUICK, Hooks
from tests.support.worker.names import Names
from tests.support.worker.receiver import Receiver, receiving
from tests.support.worker.world import created, working

PATIENT = WebhookTuning(webhook_connect_timeout_s=60, webhook_read_timeout_s=60, webhook_total_timeout_s=90)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
BEFORE_THE_STATUS = {
    "interim responses": (b"", HINTS),
    "interim responses with headers": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"),
    "100 and 102 in turn": (b"", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"),
    "blank lines": (b"", b"\r\n"),
    "a status line": (b"HTTP/1.1 200 ", b"O"),
    "header lines": (OK, b"X-A: b\r\n"),
    "one header line": (OK + b"X-A: ", b"b"),
    "interim responses, then a head": (HINTS * 100 + OK, b"X-A: b\r\n"),
}
AFTER_THE_STATUS = {
    "a body until the end of the connection": (OK + b"\r\n", b"b"),
    "a silent body until the end of the connection": (OK + b"\r\n", b""),
    "a body of announced length that stops": (OK + b"Content-Length: 4000\r\n\r\nb", b""),
    "chunks": (CHUNKED, b"1\r\nb\r\n"),
    "chunks that stop": (CHUNKED + b"1\r\nb\r\n", b""),
    "one chunk extension": (CHUNKED + b"1;", b"b"),
    "many chunk extensions": (CHUNKED, b"1;" + b"b" * 1000 + b"\r\nb\r\n"),
    "trailers": (CHUNKED + b"0\r\n", b"X-A: b\r\n"),
    "what is no chunk": (CHUNKED, b"?"),
    "interim responses before": (HINTS * 10 + OK + b"\r\n", b"b"),
}


@asynccontextmanager
async def calling(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Callable[[], asyncio.Task[Answer]]]:
    network = CheckedNetwork(Names(hooks_example=[["127.0.0.1"]]), AddressPolicy.of([443], ["127.0.0.0/8"]))
    target = Target("https" if tls else "http", "hooks.example", port, "/")
    async with Client.open(network, PATIENT, tls) as client:
        yield lambda: asyncio.create_task(client.post(target, {}, b"{}"))


def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("hooks.example").configure_cert(server_side)
    authority.configure_trust(client_side)
    return server_side, client_side


async def turns_during(task: asyncio.Task[Answer]) -> int:
    """How often others had their turn before the call ended."""
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    return turns


@pytest.mark.parametrize("sent", BEFORE_THE_STATUS.values(), ids=BEFORE_THE_STATUS.keys())
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_no_status_is_waited_for_without_end(sent: tuple[bytes, bytes], secure: bool) -> None:
    """By bytes, long before the time of the call is over; other tasks have their turn at each piece that is read."""
    server_side, client_side = certificates() if secure else (None, None)
    async with endless(*sent, server_side) as port, calling(port, client_side) as call:
        task = call()
        turns = await turns_during(task)
        with pytest.raises(CallFailed, match=r"too much data before the status|was not HTTP"):
            task.result()
    assert turns > ANSWER_BYTES / PIECE_BYTES


@pytest.mark.parametrize("sent", AFTER_THE_STATUS.values(), ids=AFTER_THE_STATUS.keys())
async def test_the_status_is_the_answer(sent: tuple[bytes, bytes]) -> None:
    """However the body goes on, breaks off, or does not."""
    async with endless(*sent) as port, calling(port) as call:
        assert await call() == Answer(200, None)


async def test_a_body_without_end_over_tls() -> None:
    """As over a plain connection."""
    server_side, client_side = certificates()
    async with endless(OK + b"\r\n", b"b", server_side) as port, calling(port, client_side) as call:
        assert await call() == Answer(200, None)


async def test_a_refusal_keeps_its_retry_after() -> None:
    """Though its body never ends."""
    async with endless(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n", b"b") as port, calling(port) as call:
        assert await call() == Answer(503, "7")


async def test_a_connection_that_is_cut_after_the_status() -> None:
    """A body that is shorter than announced changes nothing."""
    async with receiving() as receiver:
        receiver.reply = OK + b"Content-Length: 10\r\n\r\nok"
        async with calling(receiver.port) as call:
            assert await call() == Answer(200, None)


@pytest.mark.full
async def test_such_receivers_cost_nobody_elses_deliveries(settings: Settings) -> None:
    """One is delivered once, the other tried again; meanwhile the worker is ready and another user's call is made."""
    async with (
        endless(OK + b"\r\n", b"b") as talkative,
        endless(b"", HINTS) as evasive,
        receiving() as receiver,
        working(settings.model_copy(update=QUICK)) as world,
    ):
        await world.until_ready()
        greedy, modest = Hooks(world, uuid4()), Hooks(world, uuid4())
        taken = await greedy.create(Receiver(talkative).url())
        refused = [await greedy.create(Receiver(evasive).url(f"/{number}")) for number in range(4)]
        other = await modest.create(receiver.url())
        await world.publish(created(greedy.user_id), created(modest.user_id))
        [delivered] = await greedy.until(taken["id"], "delivered")
        assert (delivered["attempts"], delivered["response_status"], delivered["error"]) == (1, 200, None)
        await modest.until(other["id"], "delivered")
        for webhook in refused:
            assert "before the status" in (await greedy.until_failed_once(webhook["id"]))["error"]
        assert (await world.http.get("/readyz")).status_code == 200
