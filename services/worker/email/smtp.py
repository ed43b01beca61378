"""Sends mail over a few SMTP connections, each reused for many mails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.worker import metrics
from services.worker.email.messages import OutgoingMail
from services.worker.email.smtp_protocol import Phase, Progress, SmtpMeter, transmit
from services.worker.settings import DEFAULTS, Settings, Tuning
from shared.observability import tracing
from shared.observability.tracing import Kind

DEFAULT_PORTS = {"smtp": 25, "smtps": 465}
LOST = (aiosmtplib.SMTPException, OSError)


Confirm = Callable[[], Awaitable[None]]


class _NotConfirmed(Exception):
    """The caller's last check failed, which is not a failure of the mail server."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason


class Kept(NamedTuple):
    client: aiosmtplib.SMTP
    since: float


class Mailer:
    """Any number of mails may be sent at once; at most `smtp_connections` connections are kept between them."""

    def __init__(self, settings: Settings, tuning: Tuning = DEFAULTS) -> None:
        self._options = options_of(settings.smtp_url)
        self._connect_timeout_s = tuning.smtp_connect_timeout_s
        self._command_timeout_s = tuning.smtp_command_timeout_s
        self._answer_timeout_s = tuning.smtp_answer_timeout_s
        self._send_timeout_s = tuning.smtp_send_timeout_s
        self._idle_s = tuning.smtp_idle_s
        self._size = settings.smtp_connections
        self._kept: list[Kept] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, tuning: Tuning = DEFAULTS) -> AsyncIterator["Mailer"]:
        """Connects on first use; says goodbye on all connections at the end."""
        mailer = cls(settings, tuning)
        try:
            yield mailer
        finally:
            mailer._size = 0
            await mailer._quit(0)

    async def send(self, mail: OutgoingMail, progress: Progress, confirm: Confirm) -> None:
        """Send a mail. The server's response is recorded in `progress`.

        `confirm` is called as late as possible. Its exceptions are passed on.
        """
        with tracing.span("send mail", Kind.CLIENT) as span:
            try:
                async with asyncio.timeout(self._send_timeout_s) as limit:
                    await self._send(mail, progress, partial(_confirmed, confirm, limit))
            except _NotConfirmed as check:
                raise check.reason from None
            except LOST as lost:
                progress.trouble = f"{type(lost).__name__}: {lost}"
            span.set({"dashboard.mail.verdict": progress.verdict})
            if progress.reply:
                span.set({"dashboard.mail.reply": progress.reply.code})

    async def _send(self, mail: OutgoingMail, progress: Progress, confirm: Confirm) -> None:
        if kept := self._take():
            async with self._using(kept) as client:
                await confirm()
                await transmit(client, mail, progress, self._answer_timeout_s)
            if not progress.found_the_line_dead:
                return
            progress.phase, progress.reply = Phase.ACCESS, None
        async with self._using(await self._connect()) as client:
            await confirm()
            await transmit(client, mail, progress, self._answer_timeout_s)

    async def ping(self) -> None:
        """For readiness: raises unless the server responds."""
        if kept := self._take():
            with suppress(*LOST):
                async with self._using(kept) as client:
                    await client.noop()
                return
        async with self._using(await self._connect()):
            pass

    async def run(self) -> None:
        """Close connections that have not been used for a while. Runs until cancelled."""
        while True:
            await asyncio.sleep(self._idle_s / 2)
            await self._quit(self._idle_s)

    def _take(self) -> aiosmtplib.SMTP | None:
        """Return the most recently used connection, if it is still open."""
        while self._kept:
            client = self._kept.pop().client
            if client.is_connected:
                return client
        return None

    async def _connect(self) -> aiosmtplib.SMTP:
        client = aiosmtplib.SMTP(**self._options, timeout=self._command_timeout_s)
        await client.connect(timeout=self._connect_timeout_s)
        metrics.SMTP_CONNECTIONS.inc()
        return client

    @asynccontextmanager
    async def _using(self, client: aiosmtplib.SMTP) -> AsyncIterator[aiosmtplib.SMTP]:
        """Keep the connection afterwards; one that is interrupted is closed."""
        SmtpMeter.renew(client)
        try:
            if client.is_ehlo_or_helo_needed:
                await _introduce(client)
            yield client
        except BaseException:
            client.close()
            raise
        await self._keep(client)

    async def _keep(self, client: aiosmtplib.SMTP) -> None:
        if client.is_connected and len(self._kept) < self._size:
            self._kept.append(Kept(client, asyncio.get_running_loop().time()))
        else:
            await _part(client)

    async def _quit(self, idle_s: float) -> None:
        before = asyncio.get_running_loop().time() - idle_s
        idle = [kept for kept in self._kept if kept.since <= before]
        self._kept = [kept for kept in self._kept if kept.since > before]
        await asyncio.gather(*(_part(kept.client) for kept in idle))


async def _confirmed(confirm: Confirm, limit: asyncio.Timeout) -> None:
    """Raises `_NotConfirmed` for any exception of the check, and if the mail's time limit ends within it."""
    try:
        await confirm()
    except asyncio.CancelledError:
        if not limit.expired():
            raise
        raise _NotConfirmed(TimeoutError("the last check took too long")) from None
    except Exception as error:
        raise _NotConfirmed(error) from error


async def _introduce(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


async def _part(client: aiosmtplib.SMTP) -> None:
    """Errors are irrelevant: every mail has its reply by then."""
    with suppress(*LOST):
        await client.quit(timeout=1)
    client.close()


def options_of(url: str) -> dict[str, Any]:
    """Convert `smtp[s]://[user:password@]host[:port]` to aiosmtplib's arguments.

    STARTTLS is used whenever it is offered. With a password it is required: a server, or a man in the middle, that does
    not offer it gets neither the password nor a mail.
    """
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"not an SMTP URL: {parts.scheme}://{parts.hostname}")
    options: dict[str, Any] = {
        "hostname": parts.hostname,
        "port": parts.port or DEFAULT_PORTS[parts.scheme],
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "use_tls": parts.scheme == "smtps",
    }
    return options | {"start_tls": True} if parts.username and parts.scheme == "smtp" else options
