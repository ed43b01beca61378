"""Missing mails, and mails that were sent twice: explained by the documentation, or not."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tools.devstack.mailbox import Mail
from tools.lab.chaos.injected import Injected
from tools.lab.chaos.journal import PlacedOrder

Letter = tuple[str, str]
"""The recipient, and the order's number."""

WINDOW_VERBS = {
    "kill": ("worker", "worker-2"),
    "freeze": ("worker", "worker-2"),
    "crash": ("postgres", "smtp"),
    "suspend": ("postgres", "smtp"),
    "cut": ("postgres", "smtp"),
    "silence": ("postgres", "smtp"),
    "hold": ("postgres", "smtp"),
    "slow": ("postgres", "smtp"),
    "forget": ("postgres", "smtp"),
}
"""Faults that can occur between the mail server's 250 and the worker's commit."""
IN_FLIGHT = 8
"""The maximum number of mails between the two: four in each of two workers."""
WINDOW_S = 40.0
"""The maximum time between them: the worker's timeout for sending (30 s), and then for its commit."""


@dataclass(frozen=True)
class Copies:
    """A letter that was received more than once."""

    letter: Letter
    message_ids: tuple[str, ...]
    received: tuple[float, ...]

    @property
    def same_id(self) -> bool:
        return len(set(self.message_ids)) == 1


@dataclass(frozen=True)
class Sorted:
    missing: list[Letter]
    strays: list[Letter]
    copies: list[Copies]


def sort(mails: Iterable[Mail], orders: Iterable[PlacedOrder]) -> Sorted:
    expected = {(order.email, order.number) for order in orders}
    received: dict[Letter, list[Mail]] = defaultdict(list)
    for mail in mails:
        received[mail.recipients[0], mail.subject.split()[2]].append(mail)
    return Sorted(
        missing=sorted(expected - received.keys()),
        strays=sorted(received.keys() - expected),
        copies=[_copies(letter, mails) for letter, mails in received.items() if len(mails) > 1],
    )


def unexplained(copies: Sequence[Copies], injected: Sequence[Injected]) -> list[Copies]:
    """Return the copies that no fault explains. A fault explains a second copy if it occurred while the first could be
    between the 250 and the commit. It explains no more copies than could be there at that time."""
    room = {index: IN_FLIGHT for index, one in enumerate(injected) if _can_double(one)}
    left = []
    for one in copies:
        for first in sorted(one.received)[:-1]:
            fitting = [index for index in room if room[index] and _was_between(injected[index], first)]
            if not one.same_id or not fitting:
                left.append(one)
                break
            room[fitting[0]] -= 1
    return left


def _copies(letter: Letter, mails: Sequence[Mail]) -> Copies:
    return Copies(
        letter,
        tuple(str(mail.message["Message-ID"]) for mail in mails),
        tuple(datetime.fromisoformat(mail.received_at).timestamp() for mail in mails),
    )


def _can_double(injected: Injected) -> bool:
    return injected.fault.target in WINDOW_VERBS.get(injected.fault.verb, ())


def _was_between(injected: Injected, received: float) -> bool:
    return injected.began <= received + WINDOW_S and injected.ended >= received - 1
