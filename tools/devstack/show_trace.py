"""`dashboard trace`: a trace as a waterfall, each span below its parent."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tools.devstack.traces import Span, Traces

WIDE = 150
"""Columns if there is no terminal."""
BAR, REST = range(12, 61), 100
"""Return the length of the longest bar, from the remaining columns."""
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
"""Return the description of a span besides its name: attributes, and the units of their values."""


def show_newest(traces: Traces, count: int, *, as_json: bool) -> None:
    newest = traces.newest(count)
    if as_json:
        print(json.dumps([_summary(spans) for spans in newest], indent=2))
        return
    table = Table("trace", "began", "ms", "spans", "first", box=None, header_style="bold")
    for spans in newest:
        told = _summary(spans)
        table.add_row(told["trace_id"], told["began"][:19], f"{told['ms']:.1f}", str(told["spans"]), told["first"])
    Console().print(table if newest else "No trace yet.")


def show_one(spans: Sequence[Span], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(span) for span in spans], indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(waterfall(spans, console.width))


def waterfall(spans: Sequence[Span], columns: int) -> Group:
    """Print `spans` of one trace, in the order of their start."""
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
    """Return the root span, which is not recorded here: of the page, or of a client that sent a `traceparent`."""
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
