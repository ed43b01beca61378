"""The caught mails, in one SQLite file that survives restarts, and their output for `dashboard mail`."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tools.devstack.system.files import opened

_TABLE = """
CREATE TABLE IF NOT EXISTS mails (
    id INTEGER PRIMARY KEY AUTOINCREMENT, received_at TEXT NOT NULL,
    sender TEXT NOT NULL, recipients TEXT NOT NULL, content BLOB NOT NULL)
"""
_LINK = re.compile(r"https?://\S+/#/\w+\?token=[\w-]+")
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Mail:
    id: int
    received_at: str
    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        parsed = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)  # noqa: S101 - what the default policy makes
        return parsed

    @property
    def subject(self) -> str:
        return str(self.message.get("Subject", ""))

    def text(self) -> str:
        body = self.message.get_body(("plain", "html"))
        return "" if body is None else str(body.get_content()).replace("\r\n", "\n")

    def links(self) -> list[str]:
        """Return the links of the text that have a token."""
        return _LINK.findall(self.text())

    def summary(self) -> dict[str, Any]:
        known = asdict(self)
        del known["content"]
        return known | {"subject": self.subject, "message_id": str(self.message.get("Message-ID", ""))}


class Mailbox:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, sender: str, recipients: Sequence[str], content: bytes) -> None:
        """Store a mail; it is on disk when this returns."""
        row = (datetime.now(UTC).isoformat(), sender, json.dumps(list(recipients)), content)
        with opened(self._path) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(_TABLE)
            connection.execute("INSERT INTO mails (received_at, sender, recipients, content) VALUES (?, ?, ?, ?)", row)

    def mails(self, to: str | None = None) -> list[Mail]:
        """Return mails, oldest first; `to` is part of a recipient's address."""
        found = self._read("SELECT id, received_at, sender, recipients, content FROM mails ORDER BY id")
        return [mail for mail in found if to is None or any(to in address for address in mail.recipients)]

    def get(self, mail_id: int) -> Mail | None:
        query = "SELECT id, received_at, sender, recipients, content FROM mails WHERE id = ?"
        return next(iter(self._read(query, mail_id)), None)

    def _read(self, query: str, *values: object) -> list[Mail]:
        if not self._path.exists():
            return []
        with opened(self._path) as connection:
            connection.execute(_TABLE)
            rows = connection.execute(query, values).fetchall()
        return [Mail(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows]


def show_links(mailbox: Mailbox, to: str | None, wait_s: float) -> bool:
    """Print the links with tokens in all mails, the newest last; wait for the first. Return whether there are any."""
    ends = time.monotonic() + wait_s
    while not (links := [link for mail in mailbox.mails(to) for link in mail.links()]) and time.monotonic() < ends:
        time.sleep(_LOOK_EVERY_S)
    print(*links, sep="\n", end="\n" if links else "")
    return bool(links)


def show_list(mailbox: Mailbox, to: str | None, *, as_json: bool) -> None:
    mails = mailbox.mails(to)
    if as_json:
        print(json.dumps([mail.summary() for mail in mails], indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "received", "to", "subject", box=None, header_style="bold")
    for mail in mails:
        table.add_row(str(mail.id), mail.received_at[:19], ", ".join(mail.recipients), mail.subject)
    Console().print(table if mails else "No mail yet.")


def show_one(mail: Mail, *, as_json: bool) -> None:
    headers = [(name, str(value)) for name, value in mail.message.items()]
    if as_json:
        content = mail.summary() | {"headers": headers, "text": mail.text()}
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return
    for name, value in headers:
        print(f"{name}: {value}")
    print(f"\n{mail.text()}")
