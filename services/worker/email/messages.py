"""Composes a mail from a template and its recipient; sends nothing.

CONFIRM = message(__name__, "confirm", "Confirm your address", SECURITY, button=Button("Confirm", "{{ link }}"))
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.charset import Charset
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from importlib.resources import files
from typing import Self
from uuid import UUID

import idna

from services.worker.email.kinds import MailKind
from services.worker.email.layout import Button, Frame, html_of, lay_out, text_of
from services.worker.ledger.job import Permanent

SEVEN_BIT = SMTP.clone(cte_type="7bit")
ONE_CLICK = "List-Unsubscribe=One-Click"
"""RFC 8058: the header, and the body of the request that unsubscribes."""
MAX_SUBJECT = 150


class MailNotWritable(Permanent):
    """The subject, the address or the name cannot be written in a header."""


@dataclass(frozen=True, slots=True)
class Template:
    """The texts of a mail, in Jinja's syntax. All can use `name`, the recipient's, `public_url`, and the mail's values.

    With a `kind`, `text` and `html` are the content of the layout: neither greeting nor footer, and without `html` the
    paragraphs of the text. Without one they are the whole mail, and its kind is `OTHER`. `reason` replaces that of the
    kind.
    """

    subject: str
    text: str
    html: str | None = None
    kind: MailKind | None = None
    button: Button | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """A message with values for a sample."""

    template: Template
    values: Mapping[str, object]


MESSAGES: dict[str, Preview] = {}
"""All declared messages, by name."""


def message(
    module: str,
    name: str,
    subject: str,
    kind: MailKind,
    *,
    button: Button | None = None,
    reason: str | None = None,
    sample: Mapping[str, object] | None = None,
) -> Template:
    """Declare a message. Its content is in the folder `templates` beside the module: `NAME.txt`, and `NAME.html` unless
    the paragraphs of the text are enough. `sample` has a value for each variable, for `dashboard mail preview`."""
    folder = files(module.rpartition(".")[0]).joinpath("templates")
    html = folder / f"{name}.html"
    text = (folder / f"{name}.txt").read_text()
    template = Template(subject, text, html.read_text() if html.is_file() else None, kind, button, reason)
    MESSAGES[name] = Preview(template, sample or {})
    return template


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
    *,
    public_url: str = "",
    unsubscribe: str | None = None,
    confidential: tuple[str, ...] = (),
) -> OutgoingMail:
    """Raises `MailNotWritable`. The Message-ID is the same each time, so that duplicates can be recognised.

    `public_url` begins the links to the page, if its address is known; `unsubscribe` is the URL that ends mails of this
    kind.
    """
    context = {"name": to.name, "public_url": public_url, **values}
    try:
        from_, to_ = Mailbox.parse(sender), Mailbox.of(to.name, to.email)
        message_id = f"<{mail_id}@{from_.domain}>"
        about = text_of(template.subject, context)
        headers = {
            "From": str(from_),
            "To": str(to_),
            "Subject": subject(about),
            "Date": format_datetime(time),
            "Message-ID": message_id,
            "Auto-Submitted": "auto-generated",
        }
        if unsubscribe is not None:
            headers |= {"List-Unsubscribe": f"<{unsubscribe}>", "List-Unsubscribe-Post": ONE_CLICK}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    except ValueError as error:
        raise MailNotWritable(type(error).__name__) from error  # its text would contain the address
    if template.kind is None:
        text, html = text_of(template.text, context), template.html and html_of(template.html, context)
    else:
        frame = Frame(
            brand=from_.name or from_.domain,
            subject=about,
            name=to.name if template.kind.is_optional else "",
            reason=template.reason or template.kind.reason,
            kind=template.kind.phrase,
            button=template.button,
            unsubscribe=unsubscribe,
        )
        text, html = lay_out(template.text, template.html, frame, context)
    return OutgoingMail(from_.address, to_.address, message_id, head + _body(text, html), confidential)


def _body(text: str, html: str | None) -> bytes:
    """Return the text, and the HTML if there is one, with their headers."""
    body = EmailMessage(SEVEN_BIT)
    body.set_content(text)
    if html is not None:
        body.add_alternative(html, subtype="html")
    return body.as_bytes()


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
