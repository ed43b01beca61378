"""An SMTP server in the test process, whose behaviour can be changed while it runs."""

import asyncio
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, AnyStr, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.waiting import eventually
from tools.devstack.system.ports import free_port

PATIENCE_S = 600.0
"""Longer than any test lasts."""
START_S = 60.0

Manner = Literal["accept", "defer", "reject", "quote", "hang", "hang after data", "hold"]
Point = Literal["greeting", "EHLO", "MAIL", "RCPT", "DATA", "content", "answer"]
"""A command: before it is answered · content: when it begins to arrive · answer: the mail is stored, and not
answered."""


@dataclass(frozen=True)
class Received:
    """`connection` counts from 1."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    connection: int = 0

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"])


class Conversation(SMTP):
    """One connection, which may close at a point of the dialogue."""

    def __init__(self, owner: "SmtpServer", **options: Any) -> None:
        self.owner = owner
        self.number = 0
        self.gone = False
        super().__init__(owner, **options)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.owner.conversations.add(self)
        if not self.number:
            self.owner.connections += 1
            self.number = self.owner.connections
            self.hangs_up("greeting")

    def connection_lost(self, error: Exception | None) -> None:
        self.owner.conversations.discard(self)
        super().connection_lost(error)

    def hangs_up(self, point: Point) -> bool:
        if self.owner.hang_ups.get(point, 0) <= 0:
            return False
        self.owner.hang_ups[point] -= 1
        self.gone = True
        self.abort()
        return True

    def abort(self) -> None:
        for transport in (self._original_transport, self.transport):
            if isinstance(transport, asyncio.WriteTransport):
                with suppress(AttributeError):  # of Python 3.11.2: TLS has already ended
                    transport.abort()

    async def _handle_client(self) -> None:
        async def greets() -> bool:
            return self.owner.greets

        await eventually(greets, PATIENCE_S)
        await super()._handle_client()

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd's names
        if not self.hangs_up("EHLO"):
            await super().smtp_EHLO(hostname)

    async def smtp_MAIL(self, arg: str) -> None:  # noqa: N802
        if not self.hangs_up("MAIL"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802
        if not self.hangs_up("RCPT"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if not self.hangs_up("DATA"):
            await super().smtp_DATA(arg)
            self.owner.answered += 1

    async def push(self, status: AnyStr) -> None:
        await super().push(status)
        if str(status).startswith("354") and self.owner.hang_ups.get("content"):
            await self._reader.readline()  # otherwise the client may not have received the 354
            self.hangs_up("content")


class Listener(Controller):
    def __init__(self, owner: "SmtpServer", port: int, **options: Any) -> None:
        self._owner = owner
        super().__init__(owner, hostname="127.0.0.1", port=port, ready_timeout=START_S, **options)

    def factory(self) -> Conversation:
        return Conversation(self._owner, **self.SMTP_kwargs | {"enable_SMTPUTF8": self._owner.smtputf8})


class SmtpServer:
    """`manner` says how mail is met; `refuse()` and `accept_again()` close and open the port.

    defer: 451, later · reject: 550, never · quote: 550, because of the link in the mail, in lower case
    hang: DATA is not answered · hang after data: kept, not answered
    hold: kept, and answered when the manner changes

    `greets` is whether new connections are greeted, or kept waiting.
    `hang_ups` says how many more times the connection is dropped at a point of the dialogue.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None) -> None:
        self.port = free_port()
        self.manner: Manner = "accept"
        self.rejected_recipients: set[str] = set()
        self.messages: list[Received] = []
        self.quoted: list[str] = []
        """The tokens of the links that were quoted."""
        self.attempts = 0
        self.answered = 0
        self.greets = True
        self.smtputf8 = True
        self.connections = 0
        self.hang_ups: dict[Point, int] = {}
        self.conversations: set[Conversation] = set()
        self._login = login
        self._options: dict[str, Any] = {"tls_context": tls}
        if login:
            self._options |= {"authenticator": self._authenticate, "auth_required": True}
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._listener = Listener(self, self.port, **self._options)
        self._listener.start()
        self.connections = 0  # the listener has tried it as well

    def stop(self) -> None:
        if self._listener is not None:
            self.hang_up()
            self._listener.stop()
            self._listener = None

    def hang_up(self) -> None:
        """Drop all connections; new ones are accepted."""

        async def abort() -> None:
            for conversation in list(self.conversations):
                conversation.abort()

        if self._listener is not None:
            asyncio.run_coroutine_threadsafe(abort(), self._listener.loop).result(START_S)

    def refuse(self) -> None:
        """Refuse connections from now on."""
        self.stop()

    def accept_again(self) -> None:
        self.manner = "accept"
        if self._listener is None:
            self.start()

    def reset(self) -> None:
        self.accept_again()
        self.rejected_recipients.clear()
        self.messages.clear()
        self.quoted.clear()
        self.hang_ups.clear()
        self.attempts = 0
        self.greets = True
        self.smtputf8 = True

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[Any]
    ) -> str:
        if address in self.rejected_recipients:
            return f"550 5.1.1 <{address}>: no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Conversation, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if server.gone:
            await asyncio.Event().wait()
        self.attempts += 1
        if self.manner == "defer":
            return "451 4.3.2 try again later"
        if self.manner == "reject":
            return "550 5.7.1 not wanted"
        if self.manner == "quote":
            return self._quote(envelope)
        if self.manner == "hang":
            await asyncio.Event().wait()
        self._keep(envelope, server.number)
        await eventually(self._lets_go, PATIENCE_S)
        if self.manner == "hang after data" or server.hangs_up("answer"):
            await asyncio.Event().wait()
        return "250 OK"

    def _keep(self, envelope: Envelope, connection: int) -> None:
        content = envelope.original_content or b""
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), message, connection))

    def _quote(self, envelope: Envelope) -> str:
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        body = message.get_body(("plain",))
        link = re.search(r"http\S+token=(\S+)", body.get_content() if body else "")
        assert link
        self.quoted.append(link[1])
        return f"550 5.7.1 this link is not wanted: {link[0].lower()}"

    async def _lets_go(self) -> bool:
        return self.manner != "hold"

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _kind: str, given: Any
    ) -> AuthResult:
        known = isinstance(given, LoginPassword) and (given.login.decode(), given.password.decode()) == self._login
        return AuthResult(success=known, handled=False)
