"""Sends the confirmation and the shipping mail of an order."""

from datetime import UTC, datetime
from uuid import UUID

from services.worker.email.kinds import mail_kind
from services.worker.email.layout import Button
from services.worker.email.messages import message
from services.worker.email.sending import Mails, Sending
from services.worker.jobs import job
from shared.contracts.events import OrderCreated, OrderLine, OrderShipped
from shared.contracts.tasks import NOBODY

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


@job(
    name="email",
    on=(OrderCreated, OrderShipped),
    attempts=20,
    backoff_base_s=2,
    backoff_cap_s=3600,
    prefetch=16,
    concurrency="smtp_connections",
    deadline_s=3 * 24 * 3600,
    ends_with_user=True,
)
async def send(order: OrderCreated | OrderShipped, mails: Mails) -> Sending | None:
    if not order.mail:
        return None
    template = CREATED if isinstance(order, OrderCreated) else SHIPPED
    return await mails.to_user(order.user_id, template, order=order, number=order_number(order.order_id))
