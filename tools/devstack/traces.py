"""The newest caught spans, in one SQLite file that survives restarts.

`dashboard trace` shows a trace as a waterfall, each span below its parent.
"""

import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.devstack.system.files import opened

if TYPE_CHECKING:
    from rich.console import Group

KEPT = 50_000
"""The number of spans that are kept; the oldest are deleted first."""

_TABLE = """
CREATE TABLE IF NOT EXISTS spans (
    id INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT NOT NULL, began INTEGER NOT NULL, content TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS spans_trace_id ON spans (trace_id);
"""


WIDE = 150
"""Columns if there is no terminal."""
BAR, REST = range(12, 61), 100
"""The length of the longest bar, and the number of columns that are reserved for everything else."""
COLOURS = {"gateway": "cyan", "users": "green", "orders": "yellow", "worker": "magenta"}
SHOWN = {
    "dashboard.panel.source": "",
    "dashboard.panel.status": "",
    "http.response.status_code": "",
    "dashboard.call.users": "users",
    "dashboard.call.attempt": "attempt",
    "messaging.rabbitmq.destination.routing_key": "",
    "dashboard.outbox.waited_ms": "ms in the outbox",
    "messaging.batch.message_count": "in the batch",
    "dashboard.job.outcome": "",
    "dashboard.mail.verdict": "",
    "dashboard.mail.reply": "",
    "error.type": "",
}
"""The attributes that describe a span besides its name, with the units of their values."""


@dataclass(frozen=True)
class Span:
    """Times are nanoseconds of the epoch; `parent_id` is empty for the root. `links` are trace ids."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    began: int
    ended: int
    failed: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)

    @property
    def ms(self) -> float:
        return (self.ended - self.began) / 1e6


class Traces:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, spans: Sequence[Span]) -> None:
        rows = [(span.trace_id, span.began, json.dumps(asdict(span))) for span in spans]
        with opened(self._path) as connection:
            connection.executescript(_TABLE)
            connection.executemany("INSERT INTO spans (trace_id, began, content) VALUES (?, ?, ?)", rows)
            connection.execute("DELETE FROM spans WHERE id <= (SELECT max(id) FROM spans) - ?", (KEPT,))

    def get(self, trace_id: str) -> list[Span]:
        """Return spans in the order of their start; `trace_id` may be a prefix."""
        if not self._path.exists():
            return []
        with opened(self._path) as connection:
            connection.executescript(_TABLE)
            return _spans(connection, trace_id)

    def newest(self, count: int) -> list[list[Span]]:
        """Return whole traces, newest first."""
        if not self._path.exists():
            return []
        query = "SELECT trace_id FROM spans GROUP BY trace_id ORDER BY min(began) DESC LIMIT ?"
        with opened(self._path) as connection:
            connection.executescript(_TABLE)
            ids = [trace_id for (trace_id,) in connection.execute(query, (count,))]
            return [_spans(connection, trace_id) for trace_id in ids]


def _spans(connection: sqlite3.Connection, trace_id: str) -> list[Span]:
    query = "SELECT content FROM spans WHERE trace_id LIKE ? || '%' ORDER BY began, id"
    return [Span(**json.loads(content)) for (content,) in connection.execute(query, (trace_id,))]


def show_newest(traces: Traces, count: int, *, as_json: bool) -> None:
    newest = traces.newest(count)
    if as_json:
        print(json.dumps([_summary(spans) for spans in newest], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("trace", "began", "ms", "spans", "first", box=None, header_style="bold")
    for spans in newest:
        told = _summary(spans)
        table.add_row(told["trace_id"], told["began"][:19], f"{told['ms']:.1f}", str(told["spans"]), told["first"])
    Console().print(table if newest else "No trace yet.")


def show_one(spans: Sequence[Span], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(span) for span in spans], indent=2))
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(waterfall(spans, console.width))


def waterfall(spans: Sequence[Span], columns: int) -> "Group":
    """Draw the spans of one trace, which are in the order of their start."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    longest = min(max(columns - REST, BAR.start), BAR.stop - 1)
    began, ended = min(span.began for span in spans), max(span.ended for span in spans)
    title = f"trace {spans[0].trace_id} · {_time(began)} · {(ended - began) / 1e6:.1f} ms"
    table = Table("service", "what", "", "ms", "", box=None, header_style="bold")
    table.columns[3].justify = "right"
    if begun := _begun_by_client(spans):
        table.add_row("client", f"started by span {begun}", style="dim")
    for depth, span in _in_order(spans):
        colour = "red" if span.failed else COLOURS.get(span.service, "white")
        bar = Text(_bar(span, began, ended, longest), colour, no_wrap=True)
        name = Text("  " * (depth + bool(begun)) + span.name, no_wrap=True)
        table.add_row(
            Text(span.service, colour), name, bar, f"{span.ms:.1f}", Text(_details(span), "dim", no_wrap=True)
        )
    return Group(Text(f" {title}\n", "bold"), table)


def _begun_by_client(spans: Sequence[Span]) -> str:
    """Return the id of a client's span, which is not recorded here: of the page, or of a client that sent a
    `traceparent`."""
    _, first = next(_in_order(spans))
    return first.parent_id if (first.service, first.kind) == ("gateway", "server") else ""


def _in_order(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Return each span below its parent, with its depth. Spans without a recorded parent are roots."""
    known = {span.span_id for span in spans}
    below: dict[str, list[Span]] = {}
    for span in spans:
        below.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    waiting = [(0, span) for span in reversed(below.get("", []))]
    while waiting:
        depth, span = waiting.pop()
        yield depth, span
        waiting += [(depth + 1, child) for child in reversed(below.get(span.span_id, []))]


def _bar(span: Span, began: int, ended: int, longest: int) -> str:
    scale = longest / max(ended - began, 1)
    first = min(int((span.began - began) * scale), longest - 1)
    length = max(1, min(round((span.ended - span.began) * scale), longest - first))
    return " " * first + "━" * length


def _details(span: Span) -> str:
    found = [f"{span.attributes[key]} {unit}".strip() for key, unit in SHOWN.items() if key in span.attributes]
    return ", ".join([*found, *(f"→ {trace_id[:8]}…" for trace_id in span.links)])


def _summary(spans: Sequence[Span]) -> dict[str, Any]:
    began, ended = min(span.began for span in spans), max(span.ended for span in spans)
    first = next(_in_order(spans))[1]
    return {
        "trace_id": first.trace_id,
        "began": _time(began),
        "ms": (ended - began) / 1e6,
        "spans": len(spans),
        "first": f"{first.service}: {first.name}",
    }


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
