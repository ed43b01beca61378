"""Composes mails from an event and its recipient; sends nothing."""

import re
from dataclasses import dataclass
from email.charset import Charset
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Self

import idna
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from services.worker.ledger.job import Permanent
from shared.contracts.events import Envelope, OrderCreated, OrderShipped
from shared.money import format_money

MAILED = OrderCreated | OrderShipped
SUBJECTS: dict[type[MAILED], str] = {
    OrderCreated: "Your order {number} is confirmed",
    OrderShipped: "Your order {number} has been shipped",
}
TEMPLATES: dict[type[MAILED], str] = {OrderCreated: "order_created", OrderShipped: "order_shipped"}
SEVEN_BIT = SMTP.clone(cte_type="7bit")

_environment = Environment(
    loader=PackageLoader("services.worker.email"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["money"] = format_money
_environment.filters["one_line"] = lambda text: " ".join(text.split())


class MailNotWritable(Permanent):
    """The address or name cannot be written in a header."""


@dataclass(frozen=True, slots=True)
class Addressee:
    email: str
    name: str


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail ready to send. The domains of the addresses are A-labels; `content` has CRLF line ends."""

    sender: str
    recipient: str
    message_id: str
    content: bytes

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address has a non-ASCII local part, which is in the content, too."""
        return not (self.sender + self.recipient).isascii()


def compose(envelope: Envelope, order: MAILED, to: Addressee, sender: str) -> OutgoingMail:
    """Raises `MailNotWritable`. The Message-ID is the same each time, so that duplicates can be recognised."""
    context: dict[str, object] = {"order": order, "number": order_number(order), "name": to.name}
    try:
        from_, to_ = Mailbox.parse(sender), Mailbox.of(to.name, to.email)
        message_id = f"<{envelope.id}@{from_.domain}>"
        headers = {
            "From": str(from_),
            "To": str(to_),
            "Subject": SUBJECTS[type(order)].format(number=order_number(order)),
            "Date": format_datetime(envelope.time),
            "Message-ID": message_id,
            "Auto-Submitted": "auto-generated",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    except ValueError as error:
        raise MailNotWritable(type(error).__name__) from error  # its text would contain the address
    return OutgoingMail(from_.address, to_.address, message_id, head + _body(TEMPLATES[type(order)], context))


def _body(template: str, context: dict[str, object]) -> bytes:
    """Return the text and the HTML, with their headers."""
    body = EmailMessage(SEVEN_BIT)
    body.set_content(_environment.get_template(f"{template}.txt").render(context))
    body.add_alternative(_environment.get_template(f"{template}.html").render(context), subtype="html")
    return body.as_bytes()


def order_number(order: MAILED) -> str:
    """Return the short number of an order: the end of its id, which is the random part."""
    return order.order_id.hex[-8:].upper()


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
    if any(char < " " or "\x7f" <= char <= "\x9f" for char in text):
        raise ValueError("a control character")
    if len(text) <= MAX_PLAIN and _PLAIN.fullmatch(text):
        return text
    return _UTF8.header_encode(text)
