"""A machine is lost under load. `make cluster` runs longer and prints the counts."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from tools.devstack.mailbox import Mail
from tools.devstack.servers.rabbitmq import find_scripts
from tools.lab.chaos.journal import Journal, PlacedOrder
from tools.lab.cluster.delays import mail_delays
from tools.lab.cluster.report import report
from tools.lab.cluster.scenarios import fail_over, lost_node
from tools.lab.cluster.trial import Conditions, Start, run

SHORT = replace(Conditions(seed=8), before_s=5, away_s=8, after_s=5)
ORDER = PlacedOrder(UUID(int=0xAB), UUID(int=1), "ann@example.com", "key", 100, answered_at=1000.0)


@pytest.mark.long
@pytest.mark.skipif(find_scripts() is None, reason="starts servers of its own: needs an installed RabbitMQ")
@pytest.mark.parametrize("start", [lost_node, fail_over(synchronous=True)], ids=["a node of RabbitMQ", "the primary"])
async def test_nothing_is_lost_with_a_machine(start: Start, servers_folder: Path) -> None:
    """Each accepted order is stored, has one mail and is counted once, and the lost machine returns."""
    outcome = await run(start, SHORT, servers_folder, print)
    assert outcome.while_away > 0
    assert not outcome.failed, report([outcome])


def test_a_mails_delay_is_that_of_its_first_copy() -> None:
    """The delay starts at the response to the order. A mail that arrived before the response has no delay."""
    journal = Journal(orders={ORDER.id: ORDER})
    mails = [_mail(ORDER.number, second) for second in (3, 2)]
    assert mail_delays(journal, mails) == [(1000.0, 2.0)]
    assert mail_delays(journal, [_mail(ORDER.number, -1)]) == [(1000.0, 0.0)]
    assert mail_delays(journal, [_mail("OTHER", 1)]) == []


def _mail(number: str, second: int) -> Mail:
    at = f"1970-01-01T00:16:{40 + second:02}+00:00"
    return Mail(1, at, "shop@example.com", [ORDER.email], f"Subject: Your order {number} is placed\r\n\r\n".encode())
