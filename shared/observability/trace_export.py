"""Sends spans to a collector, by OTLP over HTTP: in batches, from its own thread.

All of it is OpenTelemetry's SDK, with the settings of the environment (headers, certificate, compression). If a
collector is down or hangs, only the spans that do not fit into the queue are lost; they are counted here.
"""

import logging
import os
import socket
import threading
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Tracer
from prometheus_client import Counter

from shared.observability.logs import get_logger
from shared.observability.tracing import starting

QUEUE = 4096
BATCH = 512
EVERY_MS = 1000
TIMEOUT_S = 3.0
"""The timeout of one batch, retries included; `OTEL_EXPORTER_OTLP_TIMEOUT` is ignored."""
LAST_WORDS_S = 2.0
"""The time at shutdown for sending the queue."""

SENT = Counter("trace_spans_sent_total", "Spans that the collector has accepted.")
LOST = Counter(
    "trace_spans_lost_total", "Spans that the collector has not accepted, or that did not fit into the queue."
)

log = get_logger(__name__)


class SpanQueue:
    """The queue of spans to the collector; `tracer` starts spans that enter it when they end."""

    def __init__(self, service: str, endpoint: str) -> None:
        self._exporter = Exporter(endpoint)
        self._processor = Processor(self._exporter)
        self.tracer = tracer_to(self._processor, service)

    @property
    def waiting(self) -> int:
        return self._exporter.waiting

    def flush(self) -> None:
        """Send all queued spans, and return when done."""
        self._processor.force_flush()

    def close(self) -> None:
        """Send the remaining spans, within a short time."""
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(LAST_WORDS_S)
        if ending.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


class Exporter(OTLPSpanExporter):
    """The SDK's exporter, which counts spans, and logs when sending fails and when it works again, not each attempt."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=TIMEOUT_S)
        self._works = True
        self._errors = _Errors()
        self._counting = threading.Lock()
        self.waiting = 0

    def accept(self) -> bool:
        """Count a span into the queue; False if it is full."""
        with self._counting:
            fits = self.waiting < QUEUE
            self.waiting += fits
        return fits

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._counting:
            self.waiting -= len(spans)
        self._errors.messages.clear()
        result = super().export(spans)
        works = result is SpanExportResult.SUCCESS
        (SENT if works else LOST).inc(len(spans))
        if works and not self._works:
            log.warning("sending spans works again")
        elif self._works and not works:
            log.warning("spans are being lost", reason=" ".join(self._errors.messages))
        self._works = works
        return result


class Processor(BatchSpanProcessor):
    """The SDK's queue and thread. A full queue would drop its oldest span without telling us: we refuse the newest."""

    def __init__(self, exporter: Exporter) -> None:
        super().__init__(exporter, max_queue_size=QUEUE, max_export_batch_size=BATCH, schedule_delay_millis=EVERY_MS)
        self._accept = exporter.accept

    def on_end(self, span: ReadableSpan) -> None:
        """Never waits."""
        if self._accept():
            super().on_end(span)
        else:
            LOST.inc()


class _Errors(logging.Handler):
    """Keeps what the SDK says about the current batch; nothing else of the SDK is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        for name in ("opentelemetry", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        exporters = logging.getLogger("opentelemetry.exporter")
        exporters.setLevel(logging.WARNING)
        exporters.propagate = False
        exporters.handlers = [self]

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class Positions(IdGenerator):
    """Gives a span the ids of its position in the trace, which may have been sent elsewhere before the span starts."""

    def generate_trace_id(self) -> int:
        return int(starting.get().trace_id, 16)

    def generate_span_id(self) -> int:
        return int(starting.get().span_id, 16)


def tracer_to(processor: SpanProcessor, service: str) -> Tracer:
    """Return a tracer that records every span it starts."""
    resource = Resource(
        {
            "service.namespace": "dashboard",
            "service.name": service,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
    )
    provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=Positions())
    provider.add_span_processor(processor)
    return provider.get_tracer("dashboard")
