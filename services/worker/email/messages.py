"""Composes a mail from a template and its recipient; sends nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.charset import Charset
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from typing import Self
from uuid import UUID

import idna
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2 import Template as Source

from services.worker.ledger.job import Permanent
from shared.money import format_money

SEVEN_BIT = SMTP.clone(cte_type="7bit")
MAX_SUBJECT = 150

_text = Environment(  # noqa: S701  a text has nothing to escape
    loader=PackageLoader("services.worker.email"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_text.filters["money"] = format_money
_text.filters["moment"] = lambda at: f"{at:%-d %B %Y at %H:%M} UTC"
_text.filters["one_line"] = lambda text: " ".join(text.split())
_html = _text.overlay(autoescape=True)


class MailNotWritable(Permanent):
    """The subject, the address or the name cannot be written in a header."""


@dataclass(frozen=True, slots=True)
class Template:
    """The texts of a mail, in Jinja's syntax. All can use `name`, the recipient's, and the values given to the mail."""

    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True, slots=True)
class Addressee:
    email: str
    name: str


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail ready to send. The domains of the addresses are A-labels; `content` has CRLF line ends.

    `confidential` are parts of the content that must not be stored anywhere, such as the tokens of links.
    """

    sender: str
    recipient: str
    message_id: str
    content: bytes = field(repr=False)
    confidential: tuple[str, ...] = field(default=(), repr=False)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address has a non-ASCII local part, which is in the content, too."""
        return not (self.sender + self.recipient).isascii()


def compose(
    mail_id: UUID,
    time: datetime,
    template: Template,
    values: Mapping[str, object],
    to: Addressee,
    sender: str,
    confidential: tuple[str, ...] = (),
) -> OutgoingMail:
    """Raises `MailNotWritable`. The Message-ID is the same each time, so that duplicates can be recognised."""
    context = {"name": to.name, **values}
    try:
        from_, to_ = Mailbox.parse(sender), Mailbox.of(to.name, to.email)
        message_id = f"<{mail_id}@{from_.domain}>"
        headers = {
            "From": str(from_),
            "To": str(to_),
            "Subject": subject(_compiled(_text, template.subject).render(context)),
            "Date": format_datetime(time),
            "Message-ID": message_id,
            "Auto-Submitted": "auto-generated",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    except ValueError as error:
        raise MailNotWritable(type(error).__name__) from error  # its text would contain the address
    return OutgoingMail(from_.address, to_.address, message_id, head + _body(template, context), confidential)


def _body(template: Template, context: Mapping[str, object]) -> bytes:
    """Return the text, and the HTML if there is one, with their headers."""
    body = EmailMessage(SEVEN_BIT)
    body.set_content(_compiled(_text, template.text).render(context))
    if template.html is not None:
        body.add_alternative(_compiled(_html, template.html).render(context), subtype="html")
    return body.as_bytes()


@lru_cache
def _compiled(environment: Environment, source: str) -> Source:
    return environment.from_string(source)


def subject(text: str) -> str:
    """Encode a subject for its header. Raises `ValueError` for control characters, and for a very long text."""
    _refuse_control_characters(text)
    if len(text) > MAX_SUBJECT:
        raise ValueError("a subject that is too long")
    return text if text.isascii() and ENCODED_WORD not in text else _UTF8.header_encode(text)


_ATOM = r"[^\s\x00-\x20\x7f-\x9f()<>\[\]:;@\\,.\"]+"
_LOCAL = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_WORD = r"[A-Za-z0-9!#$%&'*+/^_`{|}~-]+"
_PLAIN = re.compile(rf"{_WORD}( {_WORD})*")
"""Neither `=` nor `?`, so that no reader takes a word for an encoded one."""
ENCODED_WORD = "=?"
MAX_PLAIN = 60
FOLD = "\r\n "
_UTF8 = Charset("utf-8")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A sender or recipient. `address` has its domain as A-labels (IDNA 2008); `str()` is the header's value."""

    name: str
    address: str

    @classmethod
    def of(cls, name: str, address: str) -> Self:
        """Raises `ValueError` for an address that cannot be written in a header."""
        local, _, domain = address.rpartition("@")
        if not domain.isascii():
            domain = idna.encode(domain, uts46=True).decode()
        if not _LOCAL.fullmatch(local) or ENCODED_WORD in local or not _HOST.fullmatch(domain):
            raise ValueError("not a mail address")
        return cls(name, f"{local}@{domain}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `Name <address>`. Raises `ValueError`."""
        return cls.of(*parseaddr(text))

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def __str__(self) -> str:
        return f"{phrase(self.name)}{FOLD}<{self.address}>" if self.name else self.address


def phrase(text: str) -> str:
    """Encode a name for a header. Raises `ValueError` for control characters.

    It is one encoded word, even if that is longer than the 75 characters of RFC 2047: some readers join two words with
    a space that the name does not contain (Python's own until 2026, CPython issue 128110).
    """
    _refuse_control_characters(text)
    if len(text) <= MAX_PLAIN and _PLAIN.fullmatch(text):
        return text
    return _UTF8.header_encode(text)


def _refuse_control_characters(text: str) -> None:
    if any(char < " " or "\x7f" <= char <= "\x9f" for char in text):
        raise ValueError("a control character")
