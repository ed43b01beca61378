"""Writes the mails: an event and its recipient in, a message out; sends nothing."""

from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from services.worker.errors import Permanent
from services.worker.money import format_money
from shared.events import Envelope, OrderCreated, OrderShipped

MAILED = OrderCreated | OrderShipped
SUBJECTS: dict[type[MAILED], str] = {
    OrderCreated: "Your order {number} is confirmed",
    OrderShipped: "Your order {number} has been shipped",
}
TEMPLATES: dict[type[MAILED], str] = {OrderCreated: "order_created", OrderShipped: "order_shipped"}

_environment = Environment(
    loader=PackageLoader("services.worker"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["money"] = format_money


class MailNotWritable(Permanent):
    """An address or name that no header can hold."""


@dataclass(frozen=True, slots=True)
class Addressee:
    email: str
    name: str


def compose(envelope: Envelope, order: MAILED, to: Addressee, sender: str) -> EmailMessage:
    """Raises `MailNotWritable`. The Message-ID is the same each time, so that a mail sent twice can be told."""
    sender_name, sender_address = parseaddr(sender)
    context = {"order": order, "number": order_number(order), "name": to.name}
    template = TEMPLATES[type(order)]
    message = EmailMessage()
    try:
        message["From"] = Address(sender_name, addr_spec=sender_address)
        message["To"] = Address(to.name, addr_spec=to.email)
        message["Subject"] = SUBJECTS[type(order)].format(number=context["number"])
    except Exception as error:  # its parser also fails by IndexError and the like
        raise MailNotWritable(type(error).__name__) from error  # its text would tell the address
    message["Date"] = envelope.time
    message["Message-ID"] = f"<{envelope.id}@{sender_address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_environment.get_template(f"{template}.txt").render(context))
    message.add_alternative(_environment.get_template(f"{template}.html").render(context), subtype="html")
    return message


def order_number(order: MAILED) -> str:
    """What people call an order: the end of its id, which is the random part."""
    return order.order_id.hex[-8:].upper()
