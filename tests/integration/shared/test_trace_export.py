"""Spans reach a collector; one that is away, or hangs, harms nothing."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from shared.config.settings import ServiceSettings
from shared.observability import trace_export, tracing
from shared.observability.telemetry import Trace, current_trace
from shared.observability.trace_export import BATCH, QUEUE, SpanQueue
from shared.observability.tracing import Kind
from shared.server.serve import exporting_spans
from tests.support.metrics import sample
from tests.support.waiting import wait_until
from tools.devstack.spancatcher import Catcher
from tools.devstack.traces import Traces

HERE = Trace("1" * 32, "2" * 16, "01")


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path / "traces.sqlite")


@pytest.fixture
def collector(traces: Traces) -> Iterator[str]:
    with Catcher(0, traces) as catcher:
        thread = threading.Thread(target=catcher.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{catcher.server_address[1]}"
        catcher.shutdown()
        thread.join()


@pytest.fixture
def silent() -> Iterator[str]:
    """Accepts connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def count(name: str) -> float:
    return sample(name) or 0


def work(spans: int) -> None:
    current_trace.set(HERE)
    for number in range(spans):
        with tracing.span("work", attributes={"number": number}):
            pass


def sending() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("OtelBatch")]


def exporting(endpoint: str) -> ServiceSettings:
    return ServiceSettings(environment="development", otel_exporter_otlp_endpoint=endpoint)


def test_spans_arrive(collector: str, traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches while the process lives, and what is left when it ends."""
    monkeypatch.setattr(trace_export, "TIMEOUT_S", 60.0)  # the machine may be busy
    monkeypatch.setattr(trace_export, "LAST_WORDS_S", 60.0)
    with exporting_spans("orders", exporting(collector)):
        work(600)
        wait_until(lambda: len(traces.get(HERE.trace_id)) >= 512)
    found = traces.get(HERE.trace_id)
    assert sorted(span.attributes["number"] for span in found) == list(range(600))
    assert {span.service for span in found} == {"orders"}


def test_a_collector_reads_what_was_recorded(collector: str, traces: Traces) -> None:
    """All of it: ids, times, kind, attributes of each type, and links."""
    current_trace.set(HERE)
    outbox = SpanQueue("orders", collector)
    with tracing.recording(outbox.tracer, share=1):
        began = time.time_ns()
        with tracing.span("work", Kind.PRODUCER, {"t": "text", "i": 7, "f": 0.5, "b": True}) as span:
            span.link(Trace("3" * 32, "4" * 16))
            position = current_trace.get()
        ended = time.time_ns()
    outbox.flush()
    outbox.close()
    [found] = traces.get(HERE.trace_id)
    assert (found.service, found.name, found.kind) == ("orders", "work", "producer")
    assert position
    assert (found.trace_id, found.span_id, found.parent_id) == (HERE.trace_id, position.span_id, HERE.span_id)
    assert began <= found.began <= found.ended <= ended
    assert found.attributes == {"t": "text", "i": 7, "f": 0.5, "b": True}
    assert found.links == ["3" * 32]


def test_without_a_collector_nothing_is_recorded() -> None:
    """The setting is empty by default."""
    with exporting_spans("orders", exporting("")):
        assert not tracing.is_on()


def test_a_collector_that_is_away_costs_spans_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost spans are counted. Work does not wait, and the process can end. The log gives the reason once."""
    warning = Mock()
    monkeypatch.setattr(trace_export, "log", Mock(warning=warning))
    monkeypatch.setattr(trace_export, "EVERY_MS", 50)
    monkeypatch.setattr(trace_export, "TIMEOUT_S", 0.2)
    before = count("trace_spans_lost_total")
    outbox = SpanQueue("orders", "http://127.0.0.1:1")
    with tracing.recording(outbox.tracer, share=1):
        work(100)
        wait_until(lambda: count("trace_spans_lost_total") == before + 100)
        work(1)
        wait_until(lambda: count("trace_spans_lost_total") == before + 101)
    outbox.close()
    warning.assert_called_once()
    assert "Failed to export" in warning.call_args.kwargs["reason"]


def test_a_collector_that_hangs_costs_what_does_not_fit_into_the_queue(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is recorded meanwhile, the queue stays as long as it may be, and the process ends."""
    monkeypatch.setattr(trace_export, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(trace_export, "LAST_WORDS_S", 0.1)
    before = count("trace_spans_lost_total")
    outbox = SpanQueue("orders", silent)
    with tracing.recording(outbox.tracer, share=1):
        work(3 * QUEUE)
    lost = count("trace_spans_lost_total") - before
    assert outbox.waiting <= QUEUE
    assert (
        3 * QUEUE - 2 * BATCH <= lost + outbox.waiting <= 3 * QUEUE
    )  # one batch is being sent, another may have begun
    outbox.close()
    wait_until(lambda: not sending())
