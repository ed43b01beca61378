"""Output of the system's health on one screen."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.observability.system_status import Health, Process, ProcessStatus

STYLES = {"ready": "green", "degraded": "yellow"}
BAD = "bold red"


def screen(processes: Sequence[Process], health: Health) -> RenderableType:
    return Group(
        _processes(processes, health),
        "",
        _queues(health),
        "",
        _outboxes(health),
        "",
        _jobs(health),
        "",
        _verdict(health),
    )


def _processes(processes: Sequence[Process], health: Health) -> Table:
    table = _table("process", "address", "status", "checks")
    for process, found in zip(processes, health.processes, strict=True):
        status = Text(found.status, STYLES.get(found.status, BAD))
        table.add_row(process.name, process.url, status, _checks(found))
    return table


def _checks(process: ProcessStatus) -> Text:
    if process.error is not None:
        return Text(process.error, BAD)
    parts = [
        Text(name, "green") if outcome == "ok" else Text(f"{name} ({outcome})", "yellow")
        for name, outcome in process.checks.items()
    ]
    return Text("  ").join(parts)


def _queues(health: Health) -> RenderableType:
    if not health.queues:
        return Text("queues: unknown", BAD)
    table = _table("queue", "messages", "consumers")
    for queue in health.queues:
        table.add_row(queue.name, str(queue.messages), Text(str(queue.consumers), "" if queue.consumers else BAD))
    return table


def _outboxes(health: Health) -> Table:
    table = _table("outbox", "rows", "oldest")
    for outbox in health.outboxes:
        if outbox.rows is None:
            table.add_row(outbox.service, Text("unknown", BAD), "")
        else:
            oldest = Text(f"{outbox.oldest_s:.0f} s", BAD if outbox.is_late else "")
            table.add_row(outbox.service, str(outbox.rows), oldest)
    return table


def _jobs(health: Health) -> RenderableType:
    if not health.jobs:
        return Text("jobs: unknown", BAD)
    table = _table("job", "dead", "retrying")
    for row in health.jobs:
        table.add_row(row.job, Text(str(row.dead), BAD if row.dead else ""), str(row.retrying))
    return table


def _verdict(health: Health) -> RenderableType:
    if not health.problems:
        return Text("OK", "green")
    return Group(Text("Problems:", BAD), *(Text(f"  {problem}") for problem in health.problems))


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, header_style="bold", padding=(0, 2, 0, 0))
