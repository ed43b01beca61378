"""`dashboard mail`: shows the caught mails."""

import json

from rich.console import Console
from rich.table import Table

from tools.devstack.mailbox import Mail, Mailbox


def show_list(mailbox: Mailbox, to: str | None, *, as_json: bool) -> None:
    mails = mailbox.mails(to)
    if as_json:
        print(json.dumps([mail.summary() for mail in mails], indent=2, ensure_ascii=False))
        return
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
