"""Stored traces of the one-machine stack, and their output."""

import json
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError
from rich.console import Console

from tools.devstack import traces as kept
from tools.devstack.spancatcher import read
from tools.devstack.traces import Span, Traces, show_newest, show_one, waterfall

MS = 1_000_000


def span(name: str, span_id: str, parent_id: str = "", began: int = 0, ms: int = 10, trace_id: str = "a" * 32) -> Span:
    return Span(trace_id, span_id, parent_id, "orders", name, "server", began * MS, (began + ms) * MS)


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path / "traces.sqlite")


def test_a_trace_is_found_by_the_beginning_of_its_id(traces: Traces) -> None:
    """Its spans are in the order of their start, however they arrived."""
    traces.add([span("later", "2", began=5), span("first", "1"), span("other", "3", trace_id="b" * 32)])
    assert [found.name for found in traces.get("aaaa")] == ["first", "later"]
    assert traces.get("c") == []


def test_nothing_was_kept_yet(traces: Traces) -> None:
    """There is no file before the first span."""
    assert traces.get("a") == []
    assert traces.newest(5) == []


def test_the_oldest_spans_go_first(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of stored spans is limited."""
    monkeypatch.setattr(kept, "KEPT", 3)
    for number in range(5):
        traces.add([span(str(number), str(number), began=number)])
    assert [found.name for found in traces.get("a")] == ["2", "3", "4"]


def test_each_span_stands_below_its_cause() -> None:
    """Each span is indented below its parent. A span without a recorded parent is a root. A bar shows its time."""
    spans = [span("mail", "3", "2", began=50), span("order", "1", "in the browser", ms=100), span("job", "2", "1")]
    console = Console(width=150, record=True)
    console.print(waterfall(sorted(spans, key=lambda each: each.began), 150))
    lines = [line for line in console.export_text().splitlines() if "orders" in line]
    assert [line.index(name) for line, name in zip(lines, ["order ", "job", "mail"], strict=True)] == [10, 12, 14]
    assert lines[0].count("━") == 50
    assert 1 <= lines[1].count("━") < lines[0].count("━")
    assert lines[2].index("━") > lines[1].index("━")


def test_json_is_for_programs(traces: Traces, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON of one trace has its spans; the JSON of several has a summary of each."""
    traces.add([span("order", "1", ms=100), span("job", "2", "1", began=20)])
    show_one(traces.get("a"), as_json=True)
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["order", "job"]
    show_newest(traces, 5, as_json=True)
    [told] = json.loads(capsys.readouterr().out)
    assert (told["first"], told["spans"], told["ms"]) == ("orders: order", 2, 100.0)


def test_a_body_that_is_no_otlp_is_refused() -> None:
    """The catcher answers 400."""
    with pytest.raises(DecodeError):
        list(read(b"\xff\xff"))
