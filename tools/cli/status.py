"""`dashboard status`: the health of the system on one screen. Dependencies are imported when it runs.

It reads the processes directly, so it works without the gateway and without an account. The gateway judges the same
data with the same code (`shared.observability.system_status`).
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import httpx
    from rich.console import Console
    from rich.live import Live

    from shared.observability.system_status import Health, Observation, Process

INTERNAL = {
    "gateway": "http://127.0.0.1:9000",
    "users": "http://127.0.0.1:8001",
    "orders": "http://127.0.0.1:8002",
    "worker": "http://127.0.0.1:8003",
}
"""The default addresses of the probes and metrics."""
TIMEOUT_S = 4.0
"""Longer than a process gives its own checks."""
WATCH_S = 2.0
NOT_THERE = "connection refused"
NOTHING_RUNS = "nothing is running here: start it with `dashboard up`, or pass addresses (`dashboard status --help`)"


@dataclass(frozen=True)
class Report:
    """The health of the system, and the address of each of its processes."""

    processes: Sequence["Process"]
    health: "Health"

    @property
    def ok(self) -> bool:
        return not self.health.problems

    @property
    def nothing_runs(self) -> bool:
        """Return whether no process listens at any of the addresses."""
        return all(process.error == NOT_THERE for process in self.health.processes)

    def as_json(self) -> dict[str, Any]:
        found = self.health.model_dump(exclude={"jobs": {"__all__": {"attempts"}}})
        for status, process in zip(found["processes"], self.processes, strict=True):
            status["url"] = process.url
        return {"well": self.ok, **found}


def status(
    gateway_url: Annotated[
        str | None, typer.Option(envvar="GATEWAY_INTERNAL_URL", help="Internal port of the gateway.")
    ] = None,
    users_url: Annotated[str | None, typer.Option(envvar="GATEWAY_USERS_URL")] = None,
    orders_url: Annotated[str | None, typer.Option(envvar="GATEWAY_ORDERS_URL")] = None,
    worker_url: Annotated[str | None, typer.Option(envvar="GATEWAY_WORKER_URL")] = None,
    data_dir: Annotated[Path, typer.Option(help="Data folder of the one-machine stack.")] = Path(".local"),
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the health of the system; exit with status 1 if there is a problem.

    Addresses that are not given are those of the one-machine stack, if it runs. Separate several addresses of one
    service by commas.
    """
    given = {"gateway": gateway_url, "users": users_url, "orders": orders_url, "worker": worker_url}
    reports = _watch(given, data_dir) if watch else iter([_report(given, data_dir)])
    show = _print_json if as_json else _print_screens
    raise typer.Exit(0 if show(reports) else 1)


def processes(given: Mapping[str, str | None], stack: Mapping[str, Any]) -> list["Process"]:
    """Return every process; `given` has one address per service, or several separated by commas."""
    from shared.observability.system_status import numbered

    return [
        process
        for service, default in INTERNAL.items()
        for process in numbered(service, _split(given.get(service)) or _of_stack(service, stack) or [default])
    ]


def _split(urls: str | None) -> list[str]:
    return [url.strip().rstrip("/") for url in (urls or "").split(",") if url.strip()]


def _of_stack(service: str, stack: Mapping[str, Any]) -> Sequence[str]:
    urls: Sequence[str] = stack.get(service, {}).get("internal_urls" if service == "gateway" else "urls", [])
    return urls


def _report(given: Mapping[str, str | None], data_dir: Path) -> Report:
    from shared.observability.system_status import assess
    from tools.cli.api import local_stack

    every = processes(given, local_stack(data_dir))
    return Report(every, assess(asyncio.run(_observe_all(every))))


async def _observe_all(every: Sequence["Process"]) -> Sequence["Observation"]:
    """Read all concurrently; one that does not respond delays the others by at most the timeout."""
    import httpx

    # Internal addresses: proxies of the environment do not apply.
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
        return await asyncio.gather(*(_observe(http, process) for process in every))


async def _observe(http: "httpx.AsyncClient", process: "Process") -> "Observation":
    import httpx

    from shared.observability.system_status import METRICS_PATH, PROBE_PATH, observed, unreachable

    try:
        async with asyncio.timeout(TIMEOUT_S):
            probe, metrics = await asyncio.gather(
                *(http.get(f"{process.url}{path}") for path in (PROBE_PATH, METRICS_PATH))
            )
        return observed(process.name, probe.content, metrics.raise_for_status().content)
    except TimeoutError:
        return unreachable(process.name, f"no answer within {TIMEOUT_S:g} s")
    except httpx.ConnectError:
        return unreachable(process.name, NOT_THERE)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return unreachable(process.name, f"{type(error).__name__}: {error}".rstrip(": "))


def _watch(given: Mapping[str, str | None], data_dir: Path) -> Iterator[Report]:
    while True:
        yield _report(given, data_dir)
        time.sleep(WATCH_S)


def _print_json(reports: Iterator[Report]) -> bool:
    """Print every report until Ctrl-C; return whether the last one has no problem."""
    ok = False
    with suppress(KeyboardInterrupt):
        for report in reports:
            ok = report.ok
            typer.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    return ok


def _print_screens(reports: Iterator[Report]) -> bool:
    from rich.console import Console

    from tools.cli.show_status import screen

    ok = False
    console = Console()
    with suppress(KeyboardInterrupt), _on_one_screen(console) as live:
        for report in reports:
            ok = report.ok
            if not live and report.nothing_runs:
                typer.echo(f"dashboard: {NOTHING_RUNS}", err=True)
            elif live:
                live.update(screen(report.processes, report.health), refresh=True)
            else:
                console.print(screen(report.processes, report.health))
    return ok


def _on_one_screen(console: "Console") -> AbstractContextManager["Live | None"]:
    from rich.live import Live

    return Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext()
