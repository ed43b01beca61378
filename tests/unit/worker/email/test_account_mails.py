"""The texts of mails about accounts, and the limit of mails to one recipient."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

import pytest

from services.worker.email.account_messages import LINKS, NOTICES
from services.worker.email.messages import Addressee, OutgoingMail, Template, compose
from services.worker.email.send_log import MailLimit
from services.worker.email.smtp_protocol import readable
from services.worker.settings import Settings
from shared.contracts.tasks import SendPasswordReset

AT = datetime(2026, 1, 31, 12, 5, tzinfo=UTC)
LINK = "https://dash.example.com/#/verify?token=" + "aB-_9" * 13


def written(template: Template, name: str = "", **values: Any) -> tuple[Any, str, str]:
    """Return the message, its text and its HTML."""
    to = Addressee("ada@example.com", name)
    mail = compose(UUID(int=9), AT, template, values, to, "Dashboard <no-reply@shop.example>")
    message = message_from_bytes(mail.content, policy=policy.default)
    text, html = (part.get_content() for part in message.iter_parts())
    return message, text, html


@pytest.mark.parametrize("task", LINKS)
def test_a_mail_with_a_link(task: type) -> None:
    """The link is whole, in text and HTML, on a line of its own in the text, and the mail says how long it is valid and
    what to do if one did not ask for it."""
    purpose, template = LINKS[task]
    hours = 1 if purpose == "reset" else 24
    message, text, html = written(template, link=LINK, hours=hours)
    assert LINK in text.splitlines()
    assert f'href="{LINK}"' in html
    for part in (text, html):
        assert ("an hour" if task is SendPasswordReset else "24 hours") in part
        assert "ignore this mail" in part
    assert message["To"] == "ada@example.com"


@pytest.mark.parametrize("task", LINKS)
def test_a_mail_with_a_link_has_no_words_of_the_account(task: type) -> None:
    """Its text and its HTML would be the same if there were a name."""
    values: dict[str, Any] = {"link": LINK, "hours": 1}
    without, named = (written(LINKS[task][1], name, **values) for name in ("", "Buy pills"))
    for form in (1, 2):
        assert "Hello," in without[form]
        assert named[form] == without[form]


@pytest.mark.parametrize("notice", NOTICES)
def test_a_notice_says_what_happened_when_and_what_to_do(notice: str) -> None:
    """It has no link."""
    _, text, html = written(NOTICES[notice], at=AT)
    for part in (text, html):
        assert "on 31 January 2026 at 12:05 UTC" in part
        assert "If it was not you" in part
        assert "http" not in part.replace("http-equiv", "")


def test_a_reply_is_kept_without_the_token() -> None:
    """However the server spells it; the rest is kept."""
    mail = OutgoingMail("a@example.com", "Ada@Example.com", "<1@example.com>", LINK.encode(), ("aB-_9" * 13,))
    said = f"550 {LINK.lower()} of ada@example.com is listed"
    kept = readable(said, mail.recipient, mail.confidential)
    assert kept == "550 https://dash.example.com/#/verify?token=<confidential> of <recipient> is listed"
    assert mail.confidential[0] not in repr(mail)


@pytest.mark.parametrize(
    ("notation", "limit"), [("", None), ("  ", None), ("20/hour", (20, 3600)), ("5 per 10 minutes", (5, 600))]
)
def test_a_limit_is_written_like_the_limits_of_the_gateway(notation: str, limit: tuple[int, int] | None) -> None:
    assert MailLimit.parse(notation) == limit


@pytest.mark.parametrize("notation", ["20", "hour", "20/fortnight", "5/month"])
def test_a_limit_that_cannot_be_used_is_refused_at_start(notation: str) -> None:
    """A window is at most a day, since the log of mails is not kept for ever."""
    with pytest.raises(ValueError, match=r"(?i)mail_limit"):
        Settings(environment="development", database_url="", rabbitmq_url="", mail_limit=notation)
