"""What tests look at: the spans that were recorded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanContext, format_span_id, format_trace_id

from shared.observability import tracing
from shared.observability.telemetry import SAMPLED, Trace
from shared.observability.trace_export import tracer_to
from shared.observability.tracing import Kind


@dataclass(frozen=True)
class Recorded:
    """A span as it was recorded."""

    name: str
    kind: Kind
    trace: Trace
    parent_id: str
    attributes: dict[str, Any]
    links: list[Trace]
    began: int
    ended: int
    failed: bool

    @property
    def error(self) -> str | None:
        error: str | None = self.attributes.get("error.type")
        return error


class Spans(list[Recorded]):
    def of(self, trace_id: str) -> "Spans":
        """Those of one trace: others may be recorded meanwhile."""
        return Spans(span for span in self if span.trace.trace_id == trace_id)

    def named(self, name: str) -> Recorded:
        """The only one of that name."""
        [found] = self.all_named(name)
        return found

    def all_named(self, name: str) -> list[Recorded]:
        return [span for span in self if span.name == name]

    def parent_of(self, span: Recorded) -> Recorded:
        [found] = [each for each in self if each.trace.span_id == span.parent_id]
        return found


class Ended(SpanProcessor):
    """Hands over each span that ends."""

    def __init__(self, take: Callable[[Recorded], object]) -> None:
        self._take = take

    def on_end(self, span: ReadableSpan) -> None:
        self._take(_read(span))


_recording_here: ContextVar[Spans | None] = ContextVar("recording_here", default=None)


@contextmanager
def recorded(share: float = 1) -> Iterator[Spans]:
    """All spans of this process, within the block."""
    spans = Spans()
    with recorded_into(spans, share):
        yield spans


@contextmanager
def recorded_into(spans: list[Recorded], share: float) -> Iterator[None]:
    """The same, into this list."""
    with tracing.recording(tracer_to(Ended(spans.append), "tests"), share):
        yield


@contextmanager
def recorded_here(share: float = 1) -> Iterator[Spans]:
    """The spans of what the block calls and starts. Applications of other tests may run in this process."""
    spans = Spans()

    def add(span: Recorded) -> None:
        if _recording_here.get() is spans:
            spans.append(span)

    token = _recording_here.set(spans)
    with tracing.recording(tracer_to(Ended(add), "tests"), share):
        yield spans
    _recording_here.reset(token)


def _read(span: ReadableSpan) -> Recorded:
    context = span.get_span_context()
    assert context
    assert span.start_time
    assert span.end_time
    return Recorded(
        span.name,
        span.kind,
        _trace(context),
        format_span_id(span.parent.span_id) if span.parent else "",
        dict(span.attributes or {}),
        [_trace(link.context) for link in span.links],
        span.start_time,
        span.end_time,
        not span.status.is_ok and not span.status.is_unset,
    )


def _trace(context: SpanContext) -> Trace:
    return Trace(format_trace_id(context.trace_id), format_span_id(context.span_id), SAMPLED)
