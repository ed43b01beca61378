"""`dashboard mail preview`: writes the mails with sample data into files. Nothing is sent, and nothing needs to run."""

import html
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

SENDER = "Dashboard <no-reply@dashboard.example>"
RECIPIENT = ("ada@example.com", "Ada Lovelace")
FORMS = ("txt", "html")


def preview(
    kind: Annotated[str | None, typer.Argument(help="Only mails of this kind, or the one with this name.")] = None,
    output: Annotated[Path, typer.Option(help="The folder to write into.", metavar="DIR")] = Path(".local/mails"),
    open_: Annotated[bool, typer.Option("--open", help="Open them in the browser.")] = False,
) -> None:
    """Write each mail with sample data, as text and as HTML. Reads PUBLIC_URL, WORKER_MAIL_FROM and WORKER_JOBS."""
    written = write(output, kind)
    if not written:
        _fail(f"no mail has the kind or name {kind}; there are {', '.join(sorted(_names()))}")
    for path in written:
        typer.echo(path)
    if open_:
        import webbrowser

        webbrowser.open((output / "index.html").resolve().as_uri())


def write(folder: Path, kind: str | None = None) -> list[Path]:
    """Write the mails of this kind, or with this name, and an index of them; return the paths of the mails."""
    paths: list[Path] = []
    links: dict[str, str] = {}
    for name, message in samples(kind).items():
        folder.mkdir(parents=True, exist_ok=True)
        for form, part in zip(FORMS, message.iter_parts(), strict=True):
            path = folder / f"{name}.{form}"
            path.write_text(part.get_content().replace("\r\n", "\n"))
            paths.append(path)
        links[name] = str(message["Subject"])
    if links:
        (folder / "index.html").write_text(_index(links))
    return paths


def samples(kind: str | None = None) -> dict[str, Any]:
    """Return the mails of this kind, or with this name, with sample data."""
    from services.worker.email.messages import Addressee, compose
    from services.worker.email.unsubscribe import UnsubscribeLinks
    from shared.config.settings import LOCAL_PAGE
    from shared.contracts.tasks import NOBODY

    page = os.environ.get("PUBLIC_URL") or LOCAL_PAGE
    sender = os.environ.get("WORKER_MAIL_FROM") or SENDER
    links, moment, to = UnsubscribeLinks(page, "preview"), datetime.now(UTC), Addressee(*RECIPIENT)
    found: dict[str, Any] = {}
    for name, message in sorted(_messages().items()):
        template, values = message.template, message.values
        if template.kind is None or kind not in (None, name, template.kind.name):
            continue
        url = links.url(NOBODY, template.kind) if template.kind.is_optional else None
        mail = compose(NOBODY, moment, template, values, to, sender, public_url=page, unsubscribe=url)
        found[name] = message_from_bytes(mail.content, policy=policy.default)
    return found


def _messages() -> Mapping[str, Any]:
    """Return what the modules of all jobs have declared."""
    from services.worker import jobs
    from services.worker.email.messages import MESSAGES

    try:
        jobs.discover(filter(None, map(str.strip, os.environ.get("WORKER_JOBS", "").split(","))))
    except jobs.InvalidJob as invalid:
        _fail(str(invalid))
    return MESSAGES


def _names() -> set[str]:
    kinds = {message.template.kind.name for message in _messages().values() if message.template.kind}
    return kinds | set(_messages())


def _index(links: Mapping[str, str]) -> str:
    rows = "".join(
        f'<li>{html.escape(subject)}: <a href="{name}.html">HTML</a>, <a href="{name}.txt">text</a></li>\n'
        for name, subject in links.items()
    )
    return f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Mails</title>\n<ul>\n{rows}</ul>\n'


def _fail(message: str) -> NoReturn:
    typer.echo(f"dashboard: {message}", err=True)
    raise typer.Exit(1)
