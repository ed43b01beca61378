"""Spans: the recorded parts of a sampled trace.

Whether a trace is sampled is decided where it begins (`telemetry.begin`) and travels in the flags of `traceparent`. If
a trace is not sampled, nothing is recorded: `span` only checks the flag. Spans contain the operation and its duration,
and no personal data: no user ids, no addresses, no queries, and only the class name of an exception.

A recorded span is one of OpenTelemetry's SDK, which queues and sends it (`shared.observability.trace_export`).
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import ClassVar, Self

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from shared.observability.telemetry import Sampling, Trace, current_trace

Kind = SpanKind
Attributes = Mapping[str, str | int | float | bool]

EXPECTED = ("CancelledError", "GeneratorExit")
"""How abandoned work ends: not an error."""

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)

starting: ContextVar[Trace] = ContextVar("starting")
"""The position that the SDK gives to the span being started; it is known before the span."""


class _Out:
    """What records the spans of this process; nothing by default."""

    is_on: ClassVar[bool] = False
    tracer: ClassVar[Tracer] = NoOpTracer()


class Span:
    """A piece of work, as a context manager. This one is not recorded."""

    __slots__ = ()

    recorded = False

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def link(self, other: Trace) -> None:
        """Link to the span of another trace that did the work."""

    def fail(self, error_type: str) -> None:
        """Mark the span as failed."""

    def end(self) -> None:
        """End the span."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Position(Span):
    """Make this the current position of the trace within the block."""

    __slots__ = ("_before", "trace")

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._before: Trace | None = None

    def __enter__(self) -> Self:
        self._before = current_trace.get()
        current_trace.set(self.trace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not with a token: a stream may end in another context than the one in which it began.
        if current_trace.get() is self.trace:
            current_trace.set(self._before)


class Recorded(Position):
    """A span of a sampled trace at this position; `parent_id` is empty for the root.

    It starts when it is created and ends with `end`, or at these nanoseconds of the epoch.
    """

    __slots__ = ("_ends_at", "_error", "_span")

    recorded = True

    def __init__(
        self,
        name: str,
        kind: Kind,
        trace: Trace,
        parent_id: str,
        attributes: Attributes | None = None,
        starts_at: int | None = None,
        ends_at: int | None = None,
    ) -> None:
        super().__init__(trace)
        self._ends_at = ends_at
        self._error: str | None = None
        starting.set(trace)
        self._span = _Out.tracer.start_span(name, _below(trace.trace_id, parent_id), kind, attributes, None, starts_at)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def link(self, other: Trace) -> None:
        self._span.add_link(_context(other.trace_id, other.span_id))

    def fail(self, error_type: str) -> None:
        self._error = error_type

    def end(self) -> None:
        if not self._span.is_recording():
            return
        if self._error is not None:
            self._span.set_attribute("error.type", self._error)
            if self._error not in EXPECTED:
                self._span.set_status(StatusCode.ERROR)
        self._span.end(self._ends_at)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if kind is not None:
            self.fail(kind.__name__)
        self.end()


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=_SAMPLED)


def _below(trace_id: str, parent_id: str) -> Context:
    root = Context()
    return set_span_in_context(NonRecordingSpan(_context(trace_id, parent_id)), root) if parent_id else root


NOT_RECORDED = Span()


def span(name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes | None = None) -> Span:
    """Create a span of the current work."""
    parent = recorded()
    return Recorded(name, kind, parent.child(), parent.span_id, attributes) if parent else NOT_RECORDED


def under(parent: Trace, name: str, kind: Kind, attributes: Attributes | None = None) -> Span:
    """Create a span at that position."""
    if not parent.sampled or not _Out.is_on:
        return NOT_RECORDED
    return Recorded(name, kind, parent.child(), parent.span_id, attributes)


def is_on() -> bool:
    """Return whether this process records spans."""
    return _Out.is_on


def recorded() -> Trace | None:
    """Return the current position of the trace if it is recorded."""
    trace = current_trace.get()
    return trace if trace is not None and trace.sampled and _Out.is_on else None


def answer(trace: Trace, parent_id: str) -> Span:
    """Create the span of a response at this position; its name is known at its end."""
    return Recorded("", Kind.SERVER, trace, parent_id) if trace.sampled and _Out.is_on else NOT_RECORDED


def follow(cause: Trace | None, name: str, kind: Kind, attributes: Attributes | None = None) -> Position:
    """Create the span of work that a span elsewhere has caused, in its trace; in a new trace without a cause."""
    trace = cause.child() if cause else Trace.start()
    if not trace.sampled or not _Out.is_on:
        return Position(trace)
    return Recorded(name, kind, trace, cause.span_id if cause else "", attributes)


def past(name: str, trace: Trace, parent_id: str, began_s: float, seconds: float | None) -> Recorded:
    """Create a span of finished work at this position; `began_s` is monotonic time, and the end is now by default."""
    now = time.time_ns()
    began = now - int((time.monotonic() - began_s) * 1e9)
    ended = now if seconds is None else began + int(seconds * 1e9)
    return Recorded(name, Kind.INTERNAL, trace, parent_id, starts_at=began, ends_at=ended)


def exemplar() -> dict[str, str] | None:
    """Return the exemplar for an observation that is made now."""
    trace = recorded()
    return {"trace_id": trace.trace_id, "span_id": trace.span_id} if trace else None


def exemplar_of(span: Span) -> dict[str, str] | None:
    """Return the exemplar for an observation of that span."""
    return {"trace_id": span.trace.trace_id, "span_id": span.trace.span_id} if isinstance(span, Recorded) else None


@contextmanager
def recording(tracer: Tracer, share: float) -> Iterator[None]:
    """Record this share of the traces that begin within the block, with a tracer of `trace_export.tracer_to`."""
    before = Sampling.share, _Out.is_on, _Out.tracer
    Sampling.share, _Out.is_on, _Out.tracer = share, True, tracer
    try:
        yield
    finally:
        Sampling.share, _Out.is_on, _Out.tracer = before
