"""Sends the mails of orders, and those of accounts: links, and notices of what has happened to an account."""

from datetime import UTC, datetime
from uuid import UUID

from services.worker.email.account_messages import LINKS, NOTICES
from services.worker.email.kinds import mail_kind
from services.worker.email.layout import Button
from services.worker.email.messages import message
from services.worker.email.sending import Mails, Sending
from services.worker.jobs import job
from services.worker.ledger.job import Permanent, Suppressed
from shared.contracts.events import OrderCreated, OrderLine, OrderShipped
from shared.contracts.tasks import (
    NOBODY,
    SendAddressChange,
    SendAddressVerification,
    SendPasswordReset,
    SendSecurityNotice,
)

CONFIRMATION = mail_kind(
    "order_confirmation", "Order confirmations", "You receive this mail because you placed this order."
)
STATUS = mail_kind("order_status", "Order updates", "You receive this mail because your order has a new state.")
SAMPLE = OrderCreated(
    user_id=NOBODY,
    order_id=UUID("0199c1f2-0000-7000-8000-0000a1b2c3d4"),
    currency="EUR",
    total=4350,
    item_count=3,
    items=(
        OrderLine(sku="tea", name="Green tea", quantity=2, unit_price=1250),
        OrderLine(sku="cup", name="Cup, porcelain", quantity=1, unit_price=1850),
    ),
    created_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
)
VIEW = Button("View order", "{{ public_url }}/#/orders/{{ order.order_id }}")


def order_number(order_id: UUID) -> str:
    """Return the short number of an order: the end of its id, which is the random part."""
    return order_id.hex[-8:].upper()


_SAMPLE = {"order": SAMPLE, "number": order_number(SAMPLE.order_id)}
CREATED = message(
    __name__,
    "order_created",
    "Your order {{ number }} is confirmed",
    CONFIRMATION,
    button=VIEW,
    sample=_SAMPLE,
)
SHIPPED = message(
    __name__,
    "order_shipped",
    "Your order {{ number }} has been shipped",
    STATUS,
    button=VIEW,
    sample=_SAMPLE,
)
DAY_S = 24 * 3600


class UnknownNotice(Permanent):
    """This version has no text for the notice."""


@job(
    name="email",
    on=(OrderCreated, OrderShipped),
    attempts=20,
    backoff_base_s=2,
    backoff_cap_s=3600,
    prefetch=16,
    concurrency="smtp_connections",
    deadline_s=3 * DAY_S,
    ends_with_user=True,
)
async def send(order: OrderCreated | OrderShipped, mails: Mails) -> Sending | None:
    if not order.mail:
        return None
    template = CREATED if isinstance(order, OrderCreated) else SHIPPED
    return await mails.to_user(order.user_id, template, order=order, number=order_number(order.order_id))


@job(
    name="account-email",
    on=(SendAddressVerification, SendAddressChange, SendPasswordReset, SendSecurityNotice),
    attempts=20,
    backoff_base_s=2,
    backoff_cap_s=600,
    prefetch=8,
    concurrency=2,
    deadline_s=DAY_S,
    ends_with_user=True,
)
async def send_account_mail(
    task: SendAddressVerification | SendAddressChange | SendPasswordReset | SendSecurityNotice, mails: Mails
) -> Sending | None:
    if not isinstance(task, SendSecurityNotice):
        purpose, template = LINKS[type(task)]
        return await mails.with_link(purpose, task.email, template)
    if not task.verified:
        raise Suppressed("the address is not verified")
    if task.notice not in NOTICES:
        raise UnknownNotice(task.notice)
    return await mails.to_address(task.email, NOTICES[task.notice], at=task.at)
