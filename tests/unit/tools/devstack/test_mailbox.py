import json
from email.message import EmailMessage
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tools.cli.main import app
from tools.devstack.mailbox import Mailbox


def _content(subject: str) -> bytes:
    mail = EmailMessage()
    mail["To"], mail["Subject"], mail["Message-ID"] = "ada@example.com", subject, "<1@example.com>"
    mail.set_content("Hello Ada")
    mail.add_alternative("<p>Hello Ada</p>", subtype="html")
    return mail.as_bytes()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    mailbox = Mailbox(tmp_path / "mail.sqlite")
    mailbox.add("shop@example.com", ["ada@example.com"], _content("Grüße"))
    mailbox.add("shop@example.com", ["grace@example.com"], _content("Second"))
    return tmp_path


def _dashboard(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_mails_are_listed(data_dir: Path) -> None:
    """Mails are listed on one line each, optionally those to one recipient, and as JSON."""
    code, table = _dashboard("mail", "--data-dir", str(data_dir))
    assert code == 0
    assert "Grüße" in table
    _, found = _dashboard("mail", "--data-dir", str(data_dir), "--to", "grace", "--json")
    [mail] = json.loads(found)
    assert (mail["subject"], mail["recipients"]) == ("Second", ["grace@example.com"])


def test_one_mail_is_shown(data_dir: Path) -> None:
    """A mail is shown with its headers and its text part."""
    _, shown = _dashboard("mail", "1", "--data-dir", str(data_dir))
    assert "Subject: Grüße" in shown
    assert shown.endswith("Hello Ada\n\n")
    assert "<p>" not in shown


def test_the_links_in_mails_are_printed(data_dir: Path) -> None:
    """Only those with a token, of the mails to one recipient. Without any, the command fails."""
    mail = EmailMessage()
    link = f"https://dash.example.com/#/verify?token={'aB-_9' * 13}"
    mail.set_content(f"See https://example.com, and open:\n\n{link}\n\nGrüße")
    Mailbox(data_dir / "mail.sqlite").add("shop@example.com", ["ada@example.com"], mail.as_bytes())
    assert _dashboard("mail", "--data-dir", str(data_dir), "--to", "ada", "--links") == (0, f"{link}\n")
    code, said = _dashboard("mail", "--data-dir", str(data_dir), "--to", "grace", "--links", "--wait", "0.3")
    assert (code, said) == (1, "dashboard: no mail contains a link\n")


def test_a_mail_that_is_not_there(data_dir: Path) -> None:
    """An unknown id is an error, and so is a folder without a stack."""
    assert _dashboard("mail", "7", "--data-dir", str(data_dir))[0] == 1
    code, said = _dashboard("mail", "--data-dir", str(data_dir / "none"), "--json")
    assert (code, "start it with `dashboard up`" in said) == (1, True)


def test_an_unknown_service_is_refused() -> None:
    """The message names the known services."""
    code, said = _dashboard("serve", "payments")
    assert code == 1
    assert "gateway, users, orders, worker" in said
