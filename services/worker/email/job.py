"""Sends the mails of orders, and those of accounts: links, and notices of what has happened to an account."""

from uuid import UUID

from services.worker.email.messages import Template
from services.worker.email.sending import Mails, Sending
from services.worker.jobs import job
from services.worker.ledger.job import Permanent, Suppressed
from shared.contracts.events import OrderCreated, OrderShipped
from shared.contracts.internal_api import Purpose
from shared.contracts.tasks import SendAddressChange, SendAddressVerification, SendPasswordReset, SendSecurityNotice


def _template(subject: str, name: str) -> Template:
    return Template(subject, f'{{% include "{name}.txt" %}}', f'{{% include "{name}.html" %}}')


CREATED = _template("Your order {{ number }} is confirmed", "order_created")
SHIPPED = _template("Your order {{ number }} has been shipped", "order_shipped")
# No mail with a link contains the name of the account: it may be another person's words to a stranger.
LINKS: dict[type, tuple[Purpose, Template]] = {
    SendAddressVerification: ("verify", _template("Verify your address", "verify_address")),
    SendAddressChange: ("change", _template("Confirm your new address", "change_address")),
    SendPasswordReset: ("reset", _template("Reset your password", "reset_password")),
}
NOTICES = {
    "email_changed": _template("The address of your account has changed", "email_changed"),
    "password_changed": _template("Your password has changed", "password_changed"),
    "password_reset": _template("Your password has been reset", "password_reset"),
}
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


def order_number(order_id: UUID) -> str:
    """Return the short number of an order: the end of its id, which is the random part."""
    return order_id.hex[-8:].upper()
