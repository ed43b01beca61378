from email.message import EmailMessage
from uuid import UUID

from tools.devstack.mailbox import Mail
from tools.lab.chaos.faults import Fault
from tools.lab.chaos.injected import Injected
from tools.lab.chaos.journal import PlacedOrder
from tools.lab.chaos.mails import IN_FLIGHT, Copies, sort, unexplained

ANN = "ann@example.com"
ORDER = PlacedOrder(UUID(int=0xABC), UUID(int=1), ANN, "key", 100)


def mail(number: str, message_id: str = "<1@example>") -> Mail:
    message = EmailMessage()
    message["Subject"] = f"Your order {number} is confirmed"
    message["Message-ID"] = message_id
    return Mail(1, "2026-01-31T12:00:00+00:00", "", [ANN], message.as_bytes())


def copies(*received: float, message_ids: tuple[str, ...] = ("<1@example>",)) -> Copies:
    return Copies((ANN, "00000ABC"), message_ids, received)


def fault(verb: str, target: str, began: float, ended: float) -> Injected:
    return Injected(Fault(0, verb, target, 0), began, ended)


def test_a_mail_that_did_not_come_is_missing() -> None:
    assert sort([], [ORDER]).missing == [(ANN, "00000ABC")]


def test_a_mail_for_no_order_is_a_stray() -> None:
    found = sort([mail("00000ABC"), mail("FFFFFFFF")], [ORDER])
    assert (found.missing, found.strays) == ([], [(ANN, "FFFFFFFF")])


def test_two_mails_for_one_order_are_copies() -> None:
    [one] = sort([mail("00000ABC"), mail("00000ABC", "<2@example>")], [ORDER]).copies
    assert not one.same_id


def test_a_copy_is_explained_by_a_fault_between_the_mail_and_its_commit() -> None:
    """A killed worker explains a second copy of the mail that it had just sent, but not of a mail sent after its
    end."""
    killed = fault("kill", "worker", 100, 100)
    assert not unexplained([copies(99, 110)], [killed])
    assert unexplained([copies(102, 110)], [killed])


def test_a_fault_elsewhere_explains_no_copy() -> None:
    assert unexplained([copies(99, 110)], [fault("kill", "orders", 100, 100), fault("crash", "rabbitmq", 98, 105)])


def test_another_message_id_is_never_explained() -> None:
    """A different Message-ID means two jobs, not one that ran twice."""
    twice = copies(99, 110, message_ids=("<1@example>", "<2@example>"))
    assert unexplained([twice], [fault("kill", "worker", 100, 100)])


def test_a_fault_explains_no_more_copies_than_mails_can_be_under_way() -> None:
    many = [copies(99, 110)] * (IN_FLIGHT + 2)
    assert len(unexplained(many, [fault("kill", "worker", 100, 100)])) == 2
