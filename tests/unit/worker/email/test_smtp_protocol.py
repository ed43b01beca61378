"""What a dialogue that ended means for its mail."""

import pytest

from services.worker.email.send_log import MailState, Step, next_step
from services.worker.email.sending import (
    MailDeferred,
    MailLeftUncertain,
    MailRefused,
    MailServerAway,
    MailUncertain,
    failure_of,
    state_of,
)
from services.worker.email.smtp_protocol import Phase, Progress, Reply, Verdict, judge, readable
from services.worker.ledger.job import Permanent, Transient

ACCESS, ENVELOPE, CONTENT = Phase.ACCESS, Phase.ENVELOPE, Phase.CONTENT
SENT, NOT_SENT, REJECTED, UNCERTAIN = Verdict.SENT, Verdict.NOT_SENT, Verdict.REJECTED, Verdict.UNCERTAIN


@pytest.mark.parametrize(
    ("phase", "code", "verdict"),
    [
        (ACCESS, None, NOT_SENT),  # refused, DNS, timeout
        (ACCESS, 421, NOT_SENT),
        (ACCESS, 554, NOT_SENT),  # as greeting: it is not about this mail
        (ACCESS, 535, NOT_SENT),  # login refused
        (ENVELOPE, None, NOT_SENT),  # lost before the content
        (ENVELOPE, 250, NOT_SENT),  # DATA answered with anything but 354
        (ENVELOPE, 421, NOT_SENT),
        (ENVELOPE, 451, NOT_SENT),
        (ENVELOPE, 550, REJECTED),
        (ENVELOPE, 530, NOT_SENT),  # login wanted: it is not about this mail
        (ENVELOPE, -1, NOT_SENT),  # not an SMTP reply
        (CONTENT, None, UNCERTAIN),  # lost, or no answer in time
        (CONTENT, 250, SENT),
        (CONTENT, 421, NOT_SENT),
        (CONTENT, 452, NOT_SENT),
        (CONTENT, 554, REJECTED),
        (CONTENT, 354, UNCERTAIN),
        (CONTENT, -1, UNCERTAIN),
    ],
)
def test_what_the_end_of_a_dialogue_means(phase: Phase, code: int | None, verdict: Verdict) -> None:
    """Uncertain is only what ends after the content was handed over and before an answer that says yes or no."""
    assert judge(phase, code) is verdict


@pytest.mark.parametrize(
    ("phase", "code", "again"),
    [
        (ENVELOPE, None, True),
        (ENVELOPE, 421, True),
        (ENVELOPE, 450, False),
        (ENVELOPE, 550, False),
        (CONTENT, None, False),
        (CONTENT, 421, False),
    ],
)
def test_when_a_kept_connection_is_replaced(phase: Phase, code: int | None, again: bool) -> None:
    """Only when the connection, and not the mail, was the trouble, and the mail is certainly not sent."""
    assert Progress(phase, Reply(code, "") if code else None).found_the_line_dead is again


@pytest.mark.parametrize(
    ("progress", "doubts", "failure", "state"),
    [
        (Progress(ACCESS), 0, MailServerAway, "sending"),
        (Progress(ENVELOPE, Reply(451, "later")), 0, MailDeferred, "sending"),
        (Progress(ENVELOPE, Reply(530, "who are you?")), 0, MailServerAway, "sending"),
        (Progress(ENVELOPE, Reply(550, "never")), 0, MailRefused, "rejected"),
        (Progress(CONTENT), 0, MailUncertain, "uncertain"),
        (Progress(CONTENT), 1, MailUncertain, "uncertain"),
        (Progress(CONTENT), 2, MailLeftUncertain, "uncertain"),
        (Progress(CONTENT, Reply(250, "thanks")), 2, type(None), "sent"),
    ],
)
def test_what_becomes_of_the_job_and_the_mail(
    progress: Progress, doubts: int, failure: type[Exception], state: str
) -> None:
    """The job is tried again unless the server has said never, or nobody has known thrice whether it was sent."""
    raised = failure_of(progress, doubts)
    assert type(raised) is failure
    assert state_of(progress.verdict, raised) == state


def test_an_interrupted_mail() -> None:
    """A worker that is told to stop leaves a mail unsent, or in doubt, by how far the dialogue has come."""
    assert state_of(Progress(ENVELOPE).verdict, Transient()) is MailState.SENDING
    assert state_of(Progress(CONTENT).verdict, Transient()) is MailState.UNCERTAIN
    assert state_of(Progress(ENVELOPE).verdict, Permanent()) is MailState.REJECTED


@pytest.mark.parametrize(
    ("state", "leased", "step"),
    [
        ("sending", True, Step.WAIT),
        ("sending", False, Step.SEND_IN_DOUBT),
        ("sending", None, Step.SEND),
        ("uncertain", None, Step.SEND),
        ("rejected", None, Step.SEND),  # a person has replayed the job
        ("sent", None, Step.NOTHING),
        ("withdrawn", None, Step.NOTHING),
    ],
)
def test_what_to_do_with_a_mail_that_was_claimed_before(state: str, leased: bool | None, step: Step) -> None:
    """Sent is sent; a lease is waited for, and when it has run out nobody knows."""
    assert next_step(MailState(state), leased) is step


def test_a_reply_is_kept_without_the_address() -> None:
    """Whatever a server says of a mailbox, its address is not kept with it."""
    assert readable("5.1.1 <Ada@Example.com>: unknown\0", "ada@example.com") == "5.1.1 <<recipient>>: unknown\ufffd"
