"""Writes the mails: an event and its recipient in, a message out; sends nothing."""

from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from services.worker.errors import Permanent
from services.worker.mail_headers import Mailbox
from shared.events import Envelope, OrderCreated, OrderShipped
from shared.money import format_money

MAILED = OrderCreated | OrderShipped
SUBJECTS: dict[type[MAILED], str] = {
    OrderCreated: "Your order {number} is confirmed",
    OrderShipped: "Your order {number} has been shipped",
}
TEMPLATES: dict[type[MAILED], str] = {OrderCreated: "order_created", OrderShipped: "order_shipped"}
SEVEN_BIT = SMTP.clone(cte_type="7bit")

_environment = Environment(
    loader=PackageLoader("services.worker"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["money"] = format_money
_environment.filters["one_line"] = lambda text: " ".join(text.split())


class MailNotWritable(Permanent):
    """An address or name that no header can hold."""


@dataclass(frozen=True, slots=True)
class Addressee:
    email: str
    name: str


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail as it goes out. The domains of the addresses are A-labels; `content` has CRLF line ends."""

    sender: str
    recipient: str
    message_id: str
    content: bytes

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address has a local part beyond ASCII, which stands in the content, too."""
        return not (self.sender + self.recipient).isascii()


def compose(envelope: Envelope, order: MAILED, to: Addressee, sender: str) -> OutgoingMail:
    """Raises `MailNotWritable`. The Message-ID is the same each time, so that a mail sent twice can be told."""
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
        raise MailNotWritable(type(error).__name__) from error  # its text would tell the address
    return OutgoingMail(from_.address, to_.address, message_id, head + _body(TEMPLATES[type(order)], context))


def _body(template: str, context: dict[str, object]) -> bytes:
    """The text and the HTML, with the headers that say so."""
    body = EmailMessage(SEVEN_BIT)
    body.set_content(_environment.get_template(f"{template}.txt").render(context))
    body.add_alternative(_environment.get_template(f"{template}.html").render(context), subtype="html")
    return body.as_bytes()


def order_number(order: MAILED) -> str:
    """What people call an order: the end of its id, which is the random part."""
    return order.order_id.hex[-8:].upper()
