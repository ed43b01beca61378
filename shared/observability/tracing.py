"""Spans: the recorded parts of a sampled trace.

Whether a trace is sampled is decided where it begins (`telemetry.begin`) and travels in the flags of `traceparent`. If
a trace is not sampled, nothing is recorded: `span` only checks the flag. Spans contain the operation and its duration,
and no personal data: no user ids, no addresses, no queries, and only the class name of an exception.

The SDK's own spans cost several times as much to create and to encode (docs/decisions/0023), so these are plain
objects; the SDK queues and sends them (`shared.observability.trace_export`).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from types import TracebackType
from typing import Any, Self

from shared.observability.telemetry import Sampling, Trace, current_trace

Value = str | int | float | bool
Attributes = Mapping[str, Value]

EXPECTED = ("CancelledError", "GeneratorExit")
"""How abandoned work ends: not an error."""


class Kind(IntEnum):
    """The numbers of OTLP."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


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
    """A span of a sampled trace. Times are nanoseconds of the epoch; `parent_id` is empty for the root."""

    __slots__ = ("attributes", "began", "ended", "error", "kind", "links", "name", "parent_id")

    recorded = True

    def __init__(
        self, name: str, kind: Kind, trace: Trace, parent_id: str, attributes: Attributes | None = None
    ) -> None:
        super().__init__(trace)
        self.name = name
        self.kind = kind
        self.parent_id = parent_id
        self.attributes = dict(attributes) if attributes else {}
        self.links: list[Trace] = []
        self.error: str | None = None
        self.began = time.time_ns()
        self.ended = 0

    def set(self, attributes: Attributes) -> None:
        self.attributes.update(attributes)

    def link(self, other: Trace) -> None:
        self.links.append(other)

    def fail(self, error_type: str) -> None:
        self.error = error_type

    def end(self) -> None:
        if not self.ended:
            self.ended = time.time_ns()
            send(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if kind is not None:
            self.fail(kind.__name__)
        self.end()


Sink = Callable[[Recorded], Any]


class _Out:
    """The sink for spans of this process; none by default."""

    sink: Sink | None = None


NOT_RECORDED = Span()


def span(name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes | None = None) -> Span:
    """Create a span of the current work."""
    parent = recorded()
    return Recorded(name, kind, parent.child(), parent.span_id, attributes) if parent else NOT_RECORDED


def under(parent: Trace, name: str, kind: Kind, attributes: Attributes | None = None) -> Span:
    """Create a span at that position."""
    if not parent.sampled or _Out.sink is None:
        return NOT_RECORDED
    return Recorded(name, kind, parent.child(), parent.span_id, attributes)


def is_on() -> bool:
    """Return whether this process records spans."""
    return _Out.sink is not None


def recorded() -> Trace | None:
    """Return the current position of the trace if it is recorded."""
    trace = current_trace.get()
    return trace if trace is not None and trace.sampled and _Out.sink else None


def answer(trace: Trace, parent_id: str) -> Span:
    """Create the span of a response at this position; its name is known at its end."""
    return Recorded("", Kind.SERVER, trace, parent_id) if trace.sampled and _Out.sink else NOT_RECORDED


def follow(cause: Trace | None, name: str, kind: Kind, attributes: Attributes | None = None) -> Position:
    """Create the span of work that a span elsewhere has caused, in its trace; in a new trace without a cause."""
    trace = cause.child() if cause else Trace.start()
    if not trace.sampled or not _Out.sink:
        return Position(trace)
    return Recorded(name, kind, trace, cause.span_id if cause else "", attributes)


def past(name: str, trace: Trace, parent_id: str, began_s: float, seconds: float | None) -> Recorded:
    """Create a span of finished work at this position, to be sent by `send`; `began_s` is monotonic time, and the end
    is now by default."""
    span = Recorded(name, Kind.INTERNAL, trace, parent_id)
    now, span.began = span.began, span.began - int((time.monotonic() - began_s) * 1e9)
    span.ended = now if seconds is None else span.began + int(seconds * 1e9)
    return span


def send(span: Recorded) -> None:
    if _Out.sink:
        _Out.sink(span)


def exemplar() -> dict[str, str] | None:
    """Return the exemplar for an observation that is made now."""
    trace = recorded()
    return {"trace_id": trace.trace_id, "span_id": trace.span_id} if trace else None


def exemplar_of(span: Span) -> dict[str, str] | None:
    """Return the exemplar for an observation of that span."""
    return {"trace_id": span.trace.trace_id, "span_id": span.trace.span_id} if isinstance(span, Recorded) else None


@contextmanager
def recording(sink: Sink, share: float) -> Iterator[None]:
    """Record this share of the traces that begin within the block. Spans go to the sink, which must not fail."""
    before = Sampling.share, _Out.sink
    Sampling.share, _Out.sink = share, sink
    try:
        yield
    finally:
        Sampling.share, _Out.sink = before
