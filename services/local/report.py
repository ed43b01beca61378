"""What `dashboard up` prints when everything runs."""

from pathlib import Path

from services import demo
from services.local.stack import Settings, Stack

_DEMO = f"log in as {demo.USER} or {demo.ADMIN} (administrator), password {demo.PASSWORD}"


def ready_text(stack: Stack, settings: Settings) -> str:
    gateways = [planned.url for planned, _ in stack.services if planned.name == "gateway"]
    lines = ["", f"Dashboard is ready: {'  '.join(gateways)}"]
    lines += [f"  {_DEMO}"] if stack.seeded else []
    lines += ["", *_processes(stack), ""]
    logs = _short(settings.folder.logs)
    lines += [f"Logs are in {logs}, mails with `dashboard mail{_data_dir(settings)}`. Ctrl-C stops everything."]
    return "\n".join(lines)


def _processes(stack: Stack) -> list[str]:
    rows = [(service.name, service.url, service.pids) for _, service in reversed(stack.services)]
    rows += [(server.name, server.url, list(server.pids)) for server in stack.backing.all]
    return [f"  {name:<10} {_without_password(url):<46} {_pids(pids)}" for name, url, pids in rows]


def _pids(pids: list[int]) -> str:
    return f"pid {' '.join(map(str, pids))}" if pids else "not started here"


def _without_password(url: str) -> str:
    """A private server's guest:guest is no secret, another's password is."""
    scheme, _, rest = url.partition("://")
    user, at, address = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{address}"


def _data_dir(settings: Settings) -> str:
    path = settings.folder.path
    return "" if path == Path(".local").resolve() else f" --data-dir {path}"


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
