"""Mail servers that never stop sending: each costs its own attempt, and nothing else."""

import asyncio
import ssl

import pytest
import trustme

from services.worker.email.smtp import options_of
from services.worker.email.smtp_protocol import Verdict
from tests.support.worker.endless_mail import EndlessMailServer
from tests.support.worker.letters import mailing, send, settings_for

SOCKET_BUFFERS = 32 * 1024 * 1024
"""What the kernel takes for a client that reads nothing."""
WAYS = {
    "a line": (False, b"2"),
    "lines that go on": (False, b"250-x\r\n"),
    "replies": (True, b"250 OK\r\n"),
    "what is no reply": (True, b"x"),
}

ways = pytest.mark.parametrize(("replies", "again"), WAYS.values(), ids=WAYS.keys())


async def assert_left(server: EndlessMailServer) -> None:
    """The client leaves by bytes, not by time: each of its timeouts is a minute and more."""
    await asyncio.wait_for(server.left.wait(), 45)
    assert server.sent < SOCKET_BUFFERS


@ways
@pytest.mark.parametrize("command", ["", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_reply_without_end_is_left(command: str, replies: bool, again: bytes) -> None:
    """The mail is not rejected on account of it; the next is sent."""
    async with EndlessMailServer(command.encode(), replies, again).listening() as server:
        server.go_on.set()
        async with mailing(settings_for(f"smtp://127.0.0.1:{server.port}", smtp_idle_s=600)) as mailer:
            assert (await send(mailer)).verdict is not Verdict.REJECTED
            await assert_left(server)
            assert (await send(mailer)).verdict is Verdict.SENT
    assert server.connections == 2


@ways
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_server_that_goes_on_after_its_last_reply_is_left(
    replies: bool, again: bytes, secure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while no mail is sent: its connection is not kept."""
    tls = trusted(monkeypatch) if secure else None
    async with EndlessMailServer(b".", replies, again).listening(tls) as server:
        url = f"{'smtps' if secure else 'smtp'}://127.0.0.1:{server.port}"
        async with mailing(settings_for(url, smtp_idle_s=600)) as mailer:
            assert (await send(mailer)).verdict is (Verdict.SENT if replies else Verdict.UNCERTAIN)
            server.go_on.set()
            await assert_left(server)
            assert (await send(mailer)).verdict is Verdict.SENT
    assert server.connections == 2


@ways
async def test_a_goodbye_without_end_is_left(replies: bool, again: bytes) -> None:
    async with EndlessMailServer(b"QUIT", replies, again).listening() as server:
        server.go_on.set()
        async with mailing(settings_for(f"smtp://127.0.0.1:{server.port}", smtp_idle_s=600)) as mailer:
            assert (await send(mailer)).verdict is Verdict.SENT
        await assert_left(server)


def trusted(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """For a server at 127.0.0.1 that the mailer trusts."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    monkeypatch.setattr("services.worker.email.smtp.options_of", lambda url: options_of(url) | {"tls_context": trust})
    return server_side
