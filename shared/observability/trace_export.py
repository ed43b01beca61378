"""Sends spans to a collector, by OTLP over HTTP: many at a time, from a thread of its own.

The SDK keeps the queue and the thread, its exporter the connection, with what the environment says of it (headers,
certificate, compression) and its retries. A collector that is away or hangs costs the spans that do not fit into the
queue meanwhile, and nothing else.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterable, Sequence
from typing import Any, cast

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status, TracesData
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags
from prometheus_client import Counter

from shared.observability.logs import get_logger
from shared.observability.telemetry import Trace
from shared.observability.tracing import EXPECTED, Attributes, Recorded, Value

QUEUE = 4096
BATCH = 512
EVERY_MS = 1000
TIMEOUT_S = 3.0
"""For one batch, retries included; `OTEL_EXPORTER_OTLP_TIMEOUT` is not asked."""
LAST_WORDS_S = 2.0
"""At the end, for what is in the queue."""

SENT = Counter("trace_spans_sent_total", "Spans that the collector has taken.")
LOST = Counter("trace_spans_lost_total", "Spans that the collector has not taken, or that did not fit into the queue.")

log = get_logger(__name__)

_SAMPLED = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class QueuedSpan:
    """As the SDK's queue wants to see a span."""

    __slots__ = ("span",)

    context = _SAMPLED

    def __init__(self, span: Recorded) -> None:
        self.span = span


class Exporter(OTLPSpanExporter):
    """The SDK's, with an encoder of ours, which takes a third of its time."""

    def __init__(self, service: str, endpoint: str) -> None:
        super().__init__(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=TIMEOUT_S)
        self._resource = resource(service)
        self._well = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._shutdown:
            LOST.inc(len(spans))
            return SpanExportResult.FAILURE
        body = encode(self._resource, (outgoing.span for outgoing in cast("Sequence[QueuedSpan]", spans)))
        taken = self._client.export(body)
        (SENT if taken.success else LOST).inc(len(spans))
        if taken.success != self._well:
            self._well = taken.success
            log.warning("spans are sent again" if taken.success else "spans are lost", reason=taken.reason)
        return SpanExportResult.SUCCESS if taken.success else SpanExportResult.FAILURE


class SpanQueue:
    """The spans on their way to the collector."""

    def __init__(self, service: str, endpoint: str) -> None:
        # Of each attempt that fails they would say something; `Exporter` says it once.
        for noisy in ("opentelemetry", "urllib3"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        self._exporter = Exporter(service, endpoint)
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=QUEUE,
            max_export_batch_size=BATCH,
            schedule_delay_millis=EVERY_MS,
        )
        self._queue = self._processor._batch_processor._queue

    def add(self, span: Recorded) -> None:
        """Never waits."""
        if len(self._queue) == QUEUE:  # the oldest falls out
            LOST.inc()
        self._processor.on_end(cast("ReadableSpan", QueuedSpan(span)))

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def flush(self) -> None:
        """Send all that waits; returns when that is done."""
        self._processor.force_flush()

    def close(self) -> None:
        """Send what is left, if that can be done soon."""
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(LAST_WORDS_S)
        if ending.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


def resource(service: str) -> Resource:
    """Who records."""
    return Resource(
        attributes=_pairs(
            {
                "service.namespace": "dashboard",
                "service.name": service,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            }
        )
    )


def encode(resource: Resource, spans: Iterable[Recorded]) -> bytes:
    """The body of an OTLP request."""
    scope = ScopeSpans(scope=InstrumentationScope(name="dashboard"))
    for span in spans:
        _add(scope, span)
    whole = TracesData(resource_spans=[ResourceSpans(resource=resource, scope_spans=[scope])])
    return bytes(whole.SerializeToString())


def _add(scope: ScopeSpans, span: Recorded) -> None:
    failed = span.error is not None
    if failed:
        span.attributes["error.type"] = span.error or ""
    message = scope.spans.add(
        name=span.name,
        kind=cast("Any", span.kind.value),
        trace_id=bytes.fromhex(span.trace.trace_id),
        span_id=bytes.fromhex(span.trace.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        start_time_unix_nano=span.began,
        end_time_unix_nano=span.ended,
        attributes=_pairs(span.attributes),
        links=[_link(other) for other in span.links],
    )
    if failed and span.error not in EXPECTED:
        message.status.code = Status.STATUS_CODE_ERROR


def _link(other: Trace) -> Message.Link:
    return Message.Link(trace_id=bytes.fromhex(other.trace_id), span_id=bytes.fromhex(other.span_id))


def _pairs(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)
