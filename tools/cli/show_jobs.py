"""Output of jobs as tables."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tools.cli.api import Progress as BatchProgress

Json = Mapping[str, Any]

STYLES = {
    "dead": "red",
    "interrupted": "red",
    "retrying": "yellow",
    "running": "cyan",
    "done": "green",
    "cancelled": "dim",
    "discarded": "dim",
    "suppressed": "dim",
}
console = Console()


def show_list(jobs: Sequence[Json]) -> None:
    """Print one line per job; errors are cut to the width of the terminal."""
    table = Table(box=None, header_style="bold", expand=True)
    for name in ("job", "event", "state", "tries"):
        table.add_column(name, no_wrap=True)
    table.add_column("error", no_wrap=True, overflow="ellipsis", ratio=1)
    for job in jobs:
        error = Text(job["last_error"] or "")
        table.add_row(job["job"], job["event_id"], _state(job["state"]), str(job["attempts"]), error)
    console.print(table if jobs else "No such jobs.")


def show_groups(groups: Sequence[Json]) -> None:
    """Print several lines per group, so that the cause and the example's id can be copied."""
    for group in groups:
        head = Text.assemble((f"{group['count']} ", "bold"), f"{group['job']} ", _state(group["state"]))
        console.print(head, Text(f"from {_time(group['first_seen'])} to {_time(group['last_seen'])}", "dim"))
        console.print(Text(f"  {group['error_group']}"), soft_wrap=True)
        console.print(
            Text(f"  for example {group['example_event_id']}: {group['example_error']}", "dim"), soft_wrap=True
        )
    if not groups:
        console.print("No failed jobs.")


def show_one(job: Json) -> None:
    table = Table(box=None, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    for name, value in job.items():
        if name not in ("audit", "attempt_log", "error", "payload", "headers"):
            table.add_row(name, Text("" if value is None else str(value)))
    console.print(table)
    for name in ("headers", "payload"):
        if job[name] is not None:
            console.print(f"\n[bold]{name}[/]\n{escape(_readable(job[name]))}")
    for attempt in job["attempt_log"]:
        took = "" if attempt["duration_ms"] is None else f" in {attempt['duration_ms']:.0f} ms"
        head = Text(f"\n{_time(attempt['started_at'])}  attempt {attempt['number']} on {attempt['worker']}{took}: ")
        console.print(head, _state(attempt["outcome"]), Text(f"trace {attempt['trace_id']}", "dim"))
        if attempt["error"]:
            console.print(Text(f"  {attempt['error']}"), soft_wrap=True)
    for entry in job["audit"]:
        reason = f", because {entry['reason']}" if entry["reason"] else ""
        line = f"{_time(entry['at'])}  {entry['action']} by {entry['actor']}{reason}"
        console.print(f"\n{escape(line)}\n  was {entry['previous_state']} after {entry['previous_attempts']} attempts")


def show_schedules(schedules: Sequence[Json]) -> None:
    """Print one line per schedule; times are UTC."""
    table = Table(box=None, header_style="bold")
    for name in ("schedule", "cron", "time zone", "last run", "next run"):
        table.add_column(name, no_wrap=True)
    for one in schedules:
        next_run = Text("paused", "yellow") if one["paused"] else Text(_time(one["next_run"]))
        table.add_row(one["name"], one["cron"], one["timezone"], _time(one["last_run"]), next_run)
    console.print(table if schedules else "No schedules.")


def show_progress(steps: Iterable[BatchProgress], action: str) -> BatchProgress:
    """Show a progress bar on the terminal, and return the last step."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    last = BatchProgress(0, 0, 0)
    terminal = Console(stderr=True)
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(action)
        for last in steps:
            bar.update(task, total=last.expected, completed=last.done)
    return last


def _state(state: str) -> Text:
    return Text(state, style=STYLES.get(state, ""))


def _time(moment: str | None) -> str:
    return (moment or "")[:19].replace("T", " ")


def _readable(value: Any) -> str:
    """Format JSON over several lines; return anything else unchanged."""
    try:
        decoded = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return str(value)
    return json.dumps(decoded, indent=2, ensure_ascii=False)
