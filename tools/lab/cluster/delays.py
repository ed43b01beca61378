"""The delays of mails."""

from collections.abc import Iterable
from datetime import datetime

from tools.devstack.mailbox import Mail
from tools.lab.chaos.journal import Journal


def mail_delays(journal: Journal, mails: Iterable[Mail]) -> list[tuple[float, float]]:
    """Return the time of each order's response (seconds since the epoch), and the delay of its first mail in seconds.
    The delay is 0 if the mail arrived before the response."""
    first: dict[str, float] = {}
    for mail in mails:
        received = datetime.fromisoformat(mail.received_at).timestamp()
        number = mail.subject.split()[2]
        first[number] = min(received, first.get(number, received))
    orders = [order for order in journal.orders.values() if order.number in first]
    return [(order.answered_at, max(0.0, first[order.number] - order.answered_at)) for order in orders]
