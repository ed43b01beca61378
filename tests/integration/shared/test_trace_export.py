"""Spans reach a collector; one that is away, or hangs, harms nothing."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from shared.config.settings import ServiceSettings
from shared.observability import trace_export, tracing
from shared.observability.telemetry import Trace, current_trace
from shared.observability.trace_export import QUEUE, SpanQueue
from shared.server.serve import exporting_spans
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
    return REGISTRY.get_sample_value(name) or 0


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


def test_without_a_collector_nothing_is_recorded() -> None:
    """The setting is empty by default."""
    with exporting_spans("orders", exporting("")):
        assert not tracing.is_on()


def test_a_collector_that_is_away_costs_spans_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are counted; whoever works does not wait, and the process ends."""
    monkeypatch.setattr(trace_export, "EVERY_MS", 50)
    monkeypatch.setattr(trace_export, "TIMEOUT_S", 0.2)
    before = count("trace_spans_lost_total")
    outbox = SpanQueue("orders", "http://127.0.0.1:1")
    with tracing.recording(outbox.add, share=1):
        work(100)
        wait_until(lambda: count("trace_spans_lost_total") == before + 100)
    outbox.close()


def test_a_collector_that_hangs_costs_what_does_not_fit_into_the_queue(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much is recorded meanwhile, the queue stays as long as it may be, and the process ends."""
    monkeypatch.setattr(trace_export, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(trace_export, "LAST_WORDS_S", 0.1)
    outbox = SpanQueue("orders", silent)
    with tracing.recording(outbox.add, share=1):
        work(3 * QUEUE)
    assert outbox.waiting <= QUEUE
    outbox.close()
    wait_until(lambda: not sending())
