"""The connections to the mail server."""

import asyncio
import ssl
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from uuid import uuid4

import aiosmtplib
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.worker.email.send_log import SendClaim
from services.worker.email.sending import RecipientUnchecked, Sending
from services.worker.email.smtp_protocol import Progress, Verdict
from shared.clock import now
from shared.db.engine import Database
from tests.support.backends.smtp import SmtpServer
from tests.support.waiting import eventually
from tests.support.worker.letters import letter, mailing, send, settings_for

LOGIN = ("dashboard", "p:w@/")


async def test_many_mails_over_one_connection(smtp: SmtpServer) -> None:
    """50 mails, one after the other, need one connection."""
    async with mailing(settings_for(smtp.url, smtp_connections=1)) as mailer:
        for _ in range(50):
            assert (await send(mailer)).verdict is Verdict.SENT
    assert (len(smtp.messages), smtp.connections) == (50, 1)


async def test_as_many_connections_as_mails_at_once(smtp: SmtpServer) -> None:
    """Mails that are sent at once have a connection each; those are kept up to the limit, and left at the end."""
    async with mailing(settings_for(smtp.url, smtp_connections=2)) as mailer:
        for _ in range(5):
            await asyncio.gather(send(mailer), send(mailer))
        await mailer.ping()
        assert (len(smtp.messages), smtp.connections) == (10, 2)

    async def left() -> bool:
        return not smtp.conversations

    await eventually(left)


async def test_an_idle_connection_is_left(smtp: SmtpServer) -> None:
    """A connection that nobody uses is closed in good order, and the next mail opens another."""
    async with mailing(settings_for(smtp.url, smtp_idle_s=0.2)) as mailer:
        running = asyncio.create_task(mailer.run())
        await send(mailer)

        async def left() -> bool:
            return not smtp.conversations

        await eventually(left)
        assert (await send(mailer)).verdict is Verdict.SENT
        running.cancel()
    assert smtp.connections == 2


async def test_lines_of_dots_arrive_as_they_were(smtp: SmtpServer) -> None:
    """A line that begins with a dot, or is one, neither ends the mail nor loses its dot."""
    text = ".\n..two\n.hidden\nend\n"
    async with mailing(settings_for(smtp.url)) as mailer:
        await send(mailer, letter(text))
    assert smtp.messages[0].message.get_content().replace("\r\n", "\n") == text


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """For 127.0.0.1, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "mail.pem"
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def guarded(certificate: Path) -> Iterator[SmtpServer]:
    """A server that wants STARTTLS and a login."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    server = SmtpServer(tls=tls, login=LOGIN)
    server.start()
    yield server
    server.stop()


async def test_starttls_and_login(guarded: SmtpServer, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STARTTLS is used because it is offered, then the credentials of the URL."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url = f"smtp://dashboard:p%3Aw%40%2F@127.0.0.1:{guarded.port}"
    async with mailing(settings_for(url)) as mailer:
        assert (await send(mailer)).verdict is Verdict.SENT
        assert (await send(mailer)).verdict is Verdict.SENT
    assert guarded.connections == 1


async def test_a_login_refused(guarded: SmtpServer, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong credentials are nothing that is wrong with the mail: it is not sent, and may be later."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with mailing(settings_for(f"smtp://dashboard:wrong@127.0.0.1:{guarded.port}")) as mailer:
        progress = await send(mailer)
    assert (progress.verdict, guarded.messages) == (Verdict.NOT_SENT, [])
    assert "535" in progress.trouble


async def test_a_certificate_that_nobody_vouches_for(guarded: SmtpServer) -> None:
    """A server that cannot prove who it is gets neither mail nor credentials."""
    url = f"smtp://dashboard:p%3Aw%40%2F@127.0.0.1:{guarded.port}"
    async with mailing(settings_for(url)) as mailer:
        progress = await send(mailer)
    assert (progress.verdict, guarded.messages) == (Verdict.NOT_SENT, [])
    assert "CERTIFICATE_VERIFY_FAILED" in progress.trouble


STRIPPED = {
    "STARTTLS is not offered": {b"EHLO": b"250-x\r\n250 AUTH PLAIN LOGIN\r\n"},
    "STARTTLS is offered and refused": {
        b"EHLO": b"250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n",
        b"STARTTLS": b"454 no\r\n",
    },
    "STARTTLS is offered and unknown": {
        b"EHLO": b"250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n",
        b"STARTTLS": b"502 no\r\n",
    },
    "no EHLO": {b"EHLO": b"502 no\r\n", b"HELO": b"250 AUTH PLAIN LOGIN\r\n"},
}


@pytest.mark.parametrize("replies", STRIPPED.values(), ids=STRIPPED.keys())
async def test_a_password_goes_over_tls_only(replies: dict[bytes, bytes]) -> None:
    """Without TLS neither password nor mail is sent, whatever the server says; the mail may be sent later."""
    heard: list[bytes] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        while line := await reader.readline():
            heard.append(line.split()[0].upper())
            writer.write(replies.get(heard[-1], b"235 OK\r\n" if heard[-1] == b"AUTH" else b"250 OK\r\n"))
        writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with mailing(settings_for(f"smtp://dashboard:secret@127.0.0.1:{port}")) as mailer:
            progress = await send(mailer)
    assert progress.verdict is Verdict.NOT_SENT
    assert set(heard) <= {b"EHLO", b"HELO", b"STARTTLS", b"QUIT"}


@pytest.mark.parametrize(
    "error",
    [OSError("away"), TimeoutError(), ConnectionResetError(), aiosmtplib.SMTPException("x"), ValueError()],
    ids=repr,
)
async def test_what_the_last_check_raises_is_not_the_mail_servers(smtp: SmtpServer, error: Exception) -> None:
    """It is raised as it is, on a new connection and on a kept one; nothing is sent."""

    async def confirm() -> None:
        raise error

    async with mailing(settings_for(smtp.url, smtp_connections=1)) as mailer:
        for _ in range(2):
            progress = Progress()
            with pytest.raises(type(error)):
                await mailer.send(letter(), progress, confirm)
            assert (progress.verdict, progress.trouble) == (Verdict.NOT_SENT, "")
            await send(mailer)
    assert len(smtp.messages) == 2


async def test_a_last_check_that_hangs_is_not_the_mail_servers(smtp: SmtpServer) -> None:
    """It ends with the time for the mail."""

    async def confirm() -> None:
        await asyncio.Event().wait()

    settings = settings_for(smtp.url).model_copy(update={"smtp_send_timeout_s": 1})
    async with mailing(settings) as mailer:
        with pytest.raises(TimeoutError, match="last check"):
            await mailer.send(letter(), Progress(), confirm)


async def test_a_database_outage_in_the_last_check_is_called_one(smtp: SmtpServer) -> None:
    """And not an outage of the mail server; the job is tried again."""
    settings = settings_for(smtp.url).model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    claim = SendClaim(uuid4(), uuid4(), 1, 0)
    async with mailing(settings) as mailer, Database.open(settings) as db:
        with pytest.raises(RecipientUnchecked, match="database"):
            await Sending(mailer, letter(), claim, 30).run(db)
    assert smtp.messages == []
