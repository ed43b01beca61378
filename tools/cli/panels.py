"""`dashboard panels check`: tests a panels file against the running services. It imports dependencies when it runs."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from tools.cli.jobs import Json, print_json

if TYPE_CHECKING:
    import httpx

    from services.gateway.catalog.catalog import Catalog
    from services.gateway.panels import Panel, ServiceSpec, Subject
    from services.gateway.upstream.rest import Reply

panels = typer.Typer(help="Check the panels file of the gateway.", no_args_is_help=True)


@panels.callback()
def main() -> None:
    """Check the panels file of the gateway."""


@dataclass(frozen=True)
class Finding:
    """The result of one panel at one replica of its service. `problem` is empty if the panel can be shown."""

    panel: str
    service: str
    url: str
    result: str
    ms: float
    problem: str = ""


@panels.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="The panels file.", envvar="GATEWAY_PANELS_FILE", show_default="the packaged one"),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Read the panels of this user; by default of a random one.")] = None,
    claim: Annotated[list[str] | None, typer.Option(help="A claim of the token: customer_no=17.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="A header of the caller that is forwarded: Authorization=Bearer ….")
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Data folder of the one-machine stack.")] = Path(".local"),
    as_json: Json = False,
) -> None:
    """Validate the file, and read each panel from its service; exit with status 1 if there is a problem.

    Addresses are those in the file, or GATEWAY_<SERVICE>_URL, or those of the one-machine stack if it runs. A user whom
    a service does not know is no problem.
    """
    from services.gateway.catalog.document import InvalidPanelsFile
    from services.gateway.panels import Subject
    from shared.ids import new_id

    subject = Subject(user or str(new_id()), _pairs(claim), {k.lower(): v for k, v in _pairs(header).items()})
    try:
        catalog = _catalog(file, data_dir)
    except InvalidPanelsFile as invalid:
        typer.echo(str(invalid), err=True)
        raise typer.Exit(1) from None
    findings = asyncio.run(_read_all(catalog, subject, data_dir))
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        _show(findings, len(catalog.operations))
    raise typer.Exit(1 if any(finding.problem for finding in findings) else 0)


def _pairs(given: Sequence[str] | None) -> dict[str, str]:
    pairs = [each.partition("=") for each in given or ()]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise typer.BadParameter(f"{wrong[0]!r} must be NAME=VALUE")
    return {name.strip(): value for name, _, value in pairs}


def _catalog(file: Path | None, data_dir: Path) -> "Catalog":
    """Raises `InvalidPanelsFile`."""
    from services.gateway.main import load_catalog
    from services.gateway.settings import Settings
    from tools.cli.api import local_stack

    stack = local_stack(data_dir)
    for name in ("users", "orders", "worker"):
        if urls := stack.get(name, {}).get("urls"):
            os.environ.setdefault(f"GATEWAY_{name.upper()}_URL", ",".join(urls))
    return load_catalog(Settings(environment="development", panels_file=str(file or "")))


async def _read_all(catalog: "Catalog", subject: "Subject", data_dir: Path) -> list[Finding]:
    """Read every panel from every replica, at the same time."""
    import httpx

    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # noqa: S113  each panel has its own
        reads = [
            _read(client, spec, url, panel, subject, data_dir)
            for panel in catalog.panels
            for spec in [catalog.services[panel.service]]
            for url in spec.urls.split(",")
        ]
        return list(await asyncio.gather(*reads))


async def _read(
    client: "httpx.AsyncClient", spec: "ServiceSpec", url: str, panel: "Panel", subject: "Subject", data_dir: Path
) -> Finding:
    from services.gateway.upstream.errors import TooLate, Unreachable, UpstreamFailed

    began = monotonic()
    result = problem = ""
    try:
        async with asyncio.timeout(panel.timeout_s):
            read = _rest if panel.protocol == "rest" else _batch
            result = await read(client, spec, url, panel, subject, data_dir)
    except TimeoutError:
        problem = f"{TooLate.code}: no answer within {panel.timeout_ms} ms"
    except Unreachable:
        problem = f"{Unreachable.code}: no connection"
    except UpstreamFailed as failure:
        problem = f"{failure.code}: {failure}"
    return Finding(panel.name, spec.name, url, result, round((monotonic() - began) * 1000, 1), problem)


async def _rest(
    client: "httpx.AsyncClient", spec: "ServiceSpec", url: str, panel: "Panel", subject: "Subject", _: Path
) -> str:
    from services.gateway.upstream.rest import interpret, target_of

    forwarded = {name: subject.headers[name] for name in spec.forward if name in subject.headers}
    target = target_of(panel.get, subject).decode()
    reply = await _send(client, "GET", url + target, dict(spec.headers) | forwarded)
    return _described(interpret(panel, reply, forwarded="authorization" in forwarded).data)


async def _batch(
    client: "httpx.AsyncClient", spec: "ServiceSpec", url: str, panel: "Panel", subject: "Subject", data_dir: Path
) -> str:
    from services.gateway.upstream.errors import BadAnswer, NotTrusted
    from services.gateway.upstream.panel_protocol import MalformedAnswer, read_answers
    from services.gateway.upstream.resilience import MAX_PANEL_BYTES
    from shared.contracts.panels import PATH, encode_query

    query = encode_query([panel.name], [subject.id])
    headers = dict(spec.headers) | ({"Authorization": f"Bearer {_token(data_dir)}"} if spec.internal else {})
    reply = await _send(client, "POST", url + PATH, headers | {"Content-Type": "application/json"}, query)
    if reply.status in (401, 403):
        raise NotTrusted(f"status {reply.status}: does INTERNAL_TOKEN_SECRET agree?")
    if reply.status != 200:
        raise BadAnswer(f"status {reply.status}")
    try:
        (answer,) = read_answers([panel], [subject.id], reply.body, MAX_PANEL_BYTES)[panel.name]
    except MalformedAnswer as malformed:
        raise BadAnswer(str(malformed)) from malformed
    if answer.is_failure:
        raise BadAnswer("the service cannot read the panel, or it is not of the declared kind")
    return "no such user" if answer.user_missing else _described(answer.data)


async def _send(
    client: "httpx.AsyncClient", method: str, url: str, headers: dict[str, str], content: bytes | None = None
) -> "Reply":
    """Send a request. Raises `UpstreamFailed`."""
    import httpx

    from services.gateway.upstream.errors import BadAnswer, Unreachable
    from services.gateway.upstream.rest import Reply

    try:
        answer = await client.request(method, url, headers=headers, content=content)
    except httpx.ConnectError as failure:
        raise Unreachable(str(failure)) from failure
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        raise BadAnswer(f"{type(failure).__name__}: {failure}") from failure
    return Reply(answer.status_code, answer.content)


def _token(data_dir: Path) -> str:
    """Return a service token, by the secret in the environment, or else that of the one-machine stack."""
    from services.gateway.settings import Settings
    from shared.http.tokens import ServiceTokens

    settings = Settings(environment="development")
    secret = settings.internal_token_secret.get_secret_value()
    if "internal_token_secret" not in settings.model_fields_set:
        secret = _stored_secret(data_dir) or secret
    return ServiceTokens(secret, "gateway").token()


def _stored_secret(data_dir: Path) -> str:
    try:
        lines = (data_dir / "secrets.env").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition("=")[2] for line in lines if line.startswith("INTERNAL_TOKEN_SECRET=")), "")


def _described(data: bytes | None) -> str:
    if data in (None, b"null"):
        return "no data"
    return f"{len(data or b''):,} bytes"


def _show(findings: Sequence[Finding], routes: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("panel", "service", "url", "result", "ms"):
        table.add_column(title, justify="right" if title == "ms" else "left", overflow="fold")
    for each in findings:
        result = f"[red]{_escaped(each.problem)}[/red]" if each.problem else each.result
        table.add_row(each.panel, each.service, _escaped(each.url), result, f"{each.ms:.1f}")
    console = Console(highlight=False)
    console.print(table)
    problems = sum(bool(each.problem) for each in findings)
    console.print(f"{len(findings)} reads, {problems} problems; {routes} passed-through routes.")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
