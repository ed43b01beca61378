"""Sends the confirmation and the shipping mail of an order."""

from uuid import UUID

from services.worker.email.messages import Template
from services.worker.email.sending import Mails, Sending
from services.worker.jobs import job
from shared.contracts.events import OrderCreated, OrderShipped

CREATED = Template(
    "Your order {{ number }} is confirmed",
    '{% include "order_created.txt" %}',
    '{% include "order_created.html" %}',
)
SHIPPED = Template(
    "Your order {{ number }} has been shipped",
    '{% include "order_shipped.txt" %}',
    '{% include "order_shipped.html" %}',
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


def order_number(order_id: UUID) -> str:
    """Return the short number of an order: the end of its id, which is the random part."""
    return order_id.hex[-8:].upper()
