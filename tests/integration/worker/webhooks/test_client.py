"""The HTTP client of webhooks against real sockets: where it connects to, and how long it waits."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trustme

from services.worker.webhooks.address import AddressPolicy, Target, Unresolved, resolving
from services.worker.webhooks.client import Answer, CallFailed, CheckedNetwork, Client
from services.worker.webhooks.settings import WebhookTuning
from tests.support.worker.names import Names
from tests.support.worker.receiver import Receiver, answer, receiving

PATIENT = WebhookTuning(webhook_connect_timeout_s=60, webhook_read_timeout_s=60, webhook_total_timeout_s=90)
HASTY = replace(PATIENT, webhook_connect_timeout_s=0.5, webhook_read_timeout_s=0.5)
LOOPBACK = AddressPolicy.of([443], ["127.0.0.0/8"])
PUBLIC = AddressPolicy.of([80, 443], [])
TRICKLE_PAUSE_S = 0.05
"""Between two bytes of a receiver that trickles."""


@asynccontextmanager
async def client_of(
    names: Names,
    policy: AddressPolicy = LOOPBACK,
    tls: ssl.SSLContext | None = None,
    tuning: WebhookTuning = PATIENT,
) -> AsyncIterator[Client]:
    async with Client.open(CheckedNetwork(names, policy), tuning, tls) as client:
        yield client


def target(url: str) -> Target:
    return Target.parse(url, https_only=False)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_the_name_is_asked_for_once_and_the_answer_is_where_it_connects(receiver: Receiver) -> None:
    """A name that leads elsewhere a moment later gains nothing: no second question is asked."""
    names = Names(hooks_example=[["127.0.0.1"], ["10.0.0.1"]])
    async with client_of(names) as client:
        url = target(receiver.url("/a?b", host="hooks.example"))
        assert await client.post(url, {"x-mine": "1"}, b"{}") == Answer(200, None)
        assert names.asked == ["hooks.example"]
        with pytest.raises(CallFailed, match="the address is not public"):
            await client.post(url, {}, b"{}")
    [got] = receiver.received
    assert got.headers["host"] == f"hooks.example:{receiver.port}"
    assert (got.path, got.body, got.headers["x-mine"]) == ("/a?b", b"{}", "1")
    assert "cookie" not in got.headers


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["::1"],
        ["fd00:ec2::254"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["93.184.216.34", "127.0.0.1"],
        ["2606:4700::1111", "192.168.0.1"],
    ],
)
async def test_a_name_that_leads_inside_is_refused(addresses: list[str]) -> None:
    """One such address among others is enough, and what it is, is not told."""
    async with client_of(Names(rebound_example=[addresses]), PUBLIC) as client:
        with pytest.raises(CallFailed) as refused:
            await client.post(target("https://rebound.example/"), {}, b"")
    assert str(refused.value) == "the address is not public"


async def test_an_address_instead_of_a_name_is_judged_alike(receiver: Receiver) -> None:
    """Without any question, and without a connection."""
    names = Names()
    async with client_of(names, PUBLIC) as client:
        with pytest.raises(CallFailed, match="not public"):
            await client.post(target(receiver.url()), {}, b"")
    assert names.asked == []
    assert receiver.received == []


async def test_redirects_are_not_followed(receiver: Receiver) -> None:
    """Wherever they lead: the answer is the redirect itself."""
    async with receiving() as other:
        receiver.reply = answer(307, f"Location: {other.url()}")
        async with client_of(Names()) as client:
            assert (await client.post(target(receiver.url()), {}, b"")).status == 307
        assert other.received == []


async def test_a_proxy_of_the_environment_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would connect to what we have not checked."""
    async with receiving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        async with client_of(Names()) as client:
            assert (await client.post(target(receiver.url()), {}, b"")).status == 200
        assert proxy.received == []


@asynccontextmanager
async def tls_receiver(certificate_for: str, asked: list[str | None]) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """Its port, and a context that trusts who has issued its certificate; `asked` gets the names it is asked for."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(certificate_for).configure_cert(server_side)
    server_side.sni_callback = lambda _socket, name, _context: asked.append(name)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(200))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    try:
        yield server.sockets[0].getsockname()[1], client_side
    finally:
        server.close()


async def test_the_certificate_is_that_of_the_name() -> None:
    """Though the connection is to an address: the name is asked for (SNI), and must be certified."""
    asked: list[str | None] = []
    async with tls_receiver("hooks.example", asked) as (port, tls):
        names = Names(hooks_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
        async with client_of(names, tls=tls) as client:
            assert (await client.post(target(f"https://hooks.example:{port}/"), {}, b"")).status == 200
            with pytest.raises(CallFailed, match=r"the certificate is not accepted: .*other\.example"):
                await client.post(target(f"https://other.example:{port}/"), {}, b"")
        async with client_of(names) as strict:
            with pytest.raises(CallFailed, match="the certificate is not accepted"):
                await strict.post(target(f"https://hooks.example:{port}/"), {}, b"")
    assert asked == ["hooks.example", "other.example", "hooks.example"]


async def test_the_next_address_when_one_does_not_take_it(receiver: Receiver) -> None:
    """All have been checked before the first is tried."""
    async with client_of(Names(hooks_example=[["127.0.0.2", "127.0.0.1"]])) as client:
        assert (await client.post(target(receiver.url(host="hooks.example")), {}, b"")).status == 200


async def test_nobody_listens() -> None:
    """The answer says no more than that."""
    async with client_of(Names()) as client:
        with pytest.raises(CallFailed) as failed:
            await client.post(target("http://127.0.0.1:1/"), {}, b"")
    assert str(failed.value) == "cannot connect"


async def test_a_receiver_that_hangs(receiver: Receiver) -> None:
    """The longest silence is the read timeout."""
    receiver.answers.clear()
    began = time.monotonic()
    async with client_of(Names(), tuning=HASTY) as client:
        with pytest.raises(CallFailed, match="no answer after"):
            await client.post(target(receiver.url()), {}, b"")
    assert time.monotonic() - began < PATIENT.webhook_total_timeout_s


async def test_a_receiver_that_trickles() -> None:
    """However it keeps itself from being silent, the whole call has its time."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"X")
                await writer.drain()
                await asyncio.sleep(TRICKLE_PAUSE_S)
        except ConnectionError:
            pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    began = time.monotonic()
    async with client_of(Names(), tuning=replace(PATIENT, webhook_total_timeout_s=1)) as client:
        with pytest.raises(CallFailed, match="no answer after"):
            await client.post(target(f"http://127.0.0.1:{port}/"), {}, b"")
    server.close()
    assert 1 <= time.monotonic() - began < PATIENT.webhook_total_timeout_s


async def test_a_name_server_that_hangs() -> None:
    """Its time counts as that of connecting."""

    async def never(_name: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    began = time.monotonic()
    async with Client.open(CheckedNetwork(never, PUBLIC), HASTY) as client:
        with pytest.raises(CallFailed, match="no answer after"):
            await client.post(target("https://hooks.example/"), {}, b"")
    assert time.monotonic() - began < PATIENT.webhook_total_timeout_s


async def test_the_real_resolver_knows_this_machine() -> None:
    """Names are resolved without a thread, also those of the hosts file; what is none is said to be unresolved."""
    async with resolving(60) as resolve:
        assert "127.0.0.1" in await resolve("localhost")
        with pytest.raises(Unresolved):
            await resolve("nothing.invalid")
