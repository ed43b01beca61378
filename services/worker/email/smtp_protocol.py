"""The SMTP session that sends a mail, and what an interrupted session means for the mail.

A server accepts a mail when it replies to its content, which ends with a line of one dot. Before all of the content was
handed to the connection the mail is certainly not sent; from then on until the reply, its state is unknown.
"""

import asyncio
import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import cast

import aiosmtplib

from services.worker.email.messages import OutgoingMail
from services.worker.ledger.job import Permanent, storable
from shared.observability.logs import get_logger

START_INPUT = 354
CLOSING = 421
REFUSALS = range(400, 600)
ACCESS_DENIED = frozenset({530, 534, 535, 538})
"""Rejections (RFC 4954) that concern the login, not the mail."""
MAX_REPLY = 500

LEADING_DOT = re.compile(rb"(?m)^\.")


class MailNotCarried(Permanent):
    """The server cannot carry such an address."""


class Phase(Enum):
    ACCESS = "access"
    """Connecting, greeting, STARTTLS, login."""
    ENVELOPE = "envelope"
    """MAIL, RCPT, DATA; and the content, until all of it has been handed to the connection."""
    CONTENT = "content"
    """The content is being sent or has arrived; its reply is awaited."""


class Verdict(StrEnum):
    SENT = "sent"
    NOT_SENT = "not_sent"
    """Certainly not sent; it may be later."""
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Reply:
    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


def judge(phase: Phase, code: int | None) -> Verdict:
    """Return what it means for a mail that its session ended in this phase, with this reply or with none."""
    if phase is Phase.ACCESS or code in ACCESS_DENIED:
        return Verdict.NOT_SENT
    match (code or 0) // 100:
        case 2 if phase is Phase.CONTENT:
            return Verdict.SENT
        case 4:
            return Verdict.NOT_SENT
        case 5:
            return Verdict.REJECTED
    return Verdict.UNCERTAIN if phase is Phase.CONTENT else Verdict.NOT_SENT


@dataclass(slots=True)
class Progress:
    """The progress of a mail; also valid if the session is interrupted."""

    phase: Phase = Phase.ACCESS
    reply: Reply | None = None
    """The reply that ended the session."""
    trouble: str = ""
    """Why there is no reply."""

    @property
    def verdict(self) -> Verdict:
        return judge(self.phase, self.reply.code if self.reply else None)

    @property
    def found_the_line_dead(self) -> bool:
        """Whether the connection had ended before the session: the server knows nothing of the mail."""
        return self.phase is not Phase.CONTENT and (self.reply is None or self.reply.code == CLOSING)

    def __str__(self) -> str:
        return str(self.reply or self.trouble)


async def transmit(client: aiosmtplib.SMTP, mail: OutgoingMail, progress: Progress, answer_timeout_s: float) -> None:
    """Hand over one mail to its one recipient. The outcome is in `progress`. Raises `MailNotCarried`."""
    progress.phase, progress.reply = Phase.ENVELOPE, None
    try:
        progress.reply = await _hand_over(client, mail, progress, answer_timeout_s)
    except aiosmtplib.SMTPResponseException as refused:
        progress.reply = Reply(refused.code, readable(refused.message, mail.recipient, mail.confidential))
        await _make_ready(client, refused.code)
    except (aiosmtplib.SMTPException, OSError) as lost:
        progress.trouble = f"{type(lost).__name__}: {lost}"
        client.close()
    except ValueError as unsafe:
        raise MailNotCarried(readable(str(unsafe), mail.recipient, mail.confidential)) from unsafe


async def _make_ready(client: aiosmtplib.SMTP, code: int) -> None:
    """Reset the connection for the next mail after a rejection; a connection out of sync is closed."""
    if code == CLOSING or code not in REFUSALS:
        client.close()
        return
    try:
        await client.rset()
    except (aiosmtplib.SMTPException, OSError):
        client.close()


async def _hand_over(client: aiosmtplib.SMTP, mail: OutgoingMail, progress: Progress, answer_timeout_s: float) -> Reply:
    if mail.needs_smtputf8 and not client.supports_extension("smtputf8"):
        raise MailNotCarried("a non-ASCII address, and a server without SMTPUTF8")
    encoding, options = ("utf-8", ["SMTPUTF8"]) if mail.needs_smtputf8 else ("ascii", [])
    await client.mail(mail.sender, options=options, encoding=encoding)
    await client.rcpt(mail.recipient, encoding=encoding)
    started = await client.execute_command(b"DATA")
    if started.code != START_INPUT or client.protocol is None:
        raise aiosmtplib.SMTPDataError(started.code, started.message)
    client.protocol.write(LEADING_DOT.sub(b"..", mail.content) + b".\r\n")
    progress.phase = Phase.CONTENT
    answer = await client.protocol.read_response(timeout=answer_timeout_s)
    return Reply(answer.code, readable(answer.message, mail.recipient, mail.confidential))


def readable(text: str, recipient: str, confidential: tuple[str, ...] = ()) -> str:
    """Return a server's reply for storage: without the recipient's address, which must not outlive the account, and
    without what is confidential. A server may quote the mail, such as a link that it rejects."""
    text = re.sub(re.escape(recipient), "<recipient>", text, flags=re.IGNORECASE)
    for secret in confidential:
        text = re.sub(re.escape(secret), "<confidential>", text, flags=re.IGNORECASE)
    return storable(text, MAX_REPLY)


MAX_BYTES = 64 * 1024
"""The limit for one mail: the replies, and everything that arrives until the connection is used again."""

log = get_logger(__name__)


class SmtpMeter(asyncio.Protocol):
    """Passes on received data. Aborts the connection once it has received more than `MAX_BYTES` since `renew`."""

    def __init__(self, inner: asyncio.Protocol, transport: asyncio.Transport) -> None:
        self._inner = inner
        self._transport = transport
        self._received = 0
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    @classmethod
    def renew(cls, client: aiosmtplib.SMTP) -> None:
        """Reset the counter of a connection; adds a meter if it has none."""
        if client.transport is None or client.protocol is None:
            return
        transport = cast("asyncio.Transport", client.transport)
        if isinstance(meter := transport.get_protocol(), cls):
            meter._received = 0
        else:
            transport.set_protocol(cls(client.protocol, transport))

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > MAX_BYTES:
            log.warning("the mail server sends endless data", received=self._received)
            self._transport.abort()
        else:
            self._inner.data_received(data)
