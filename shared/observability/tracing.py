"""Spans: what is recorded of a sampled trace.

Whether a trace is sampled is decided where it begins (`telemetry.begin`) and travels in the flags of `traceparent`. Of
one that is not, nothing is recorded: `span` costs a look at the flag. Spans say what was done and how long it took,
never for whom: no ids of users, no addresses, no queries, and of an exception its name alone.

The SDK's own spans cost several times as much to make and to encode (docs/decisions/0023), so these are plain objects;
the SDK queues and sends them (`shared.observability.trace_export`).
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
"""How work ends that nobody wants any more: no error."""


class Kind(IntEnum):
    """As OTLP numbers them."""

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
        """Say more of it."""

    def link(self, other: Trace) -> None:
        """Name the span of another trace by which the work was done."""

    def fail(self, error_type: str) -> None:
        """It has failed."""

    def end(self) -> None:
        """It is over."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Position(Span):
    """Within the block, this is where the trace has come to."""

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
        # Not by a token: what is streamed may end in another context than it began in.
        if current_trace.get() is self.trace:
            current_trace.set(self._before)


class Recorded(Position):
    """A span of a sampled trace. Times are nanoseconds of the epoch; `parent_id` is empty where the trace begins."""

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
    """Where spans of this process go; nowhere until somebody says so."""

    sink: Sink | None = None


NOT_RECORDED = Span()


def span(name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes | None = None) -> Span:
    """A part of what is being done now."""
    parent = recorded()
    return Recorded(name, kind, parent.child(), parent.span_id, attributes) if parent else NOT_RECORDED


def under(parent: Trace, name: str, kind: Kind, attributes: Attributes | None = None) -> Span:
    """A part of what is at that position."""
    if not parent.sampled or _Out.sink is None:
        return NOT_RECORDED
    return Recorded(name, kind, parent.child(), parent.span_id, attributes)


def is_on() -> bool:
    """Whether this process records anything."""
    return _Out.sink is not None


def recorded() -> Trace | None:
    """Where the trace has come to, if it is one that is recorded."""
    trace = current_trace.get()
    return trace if trace is not None and trace.sampled and _Out.sink else None


def answer(trace: Trace, parent_id: str) -> Span:
    """The answer to a request, at this position; its name is known at its end."""
    return Recorded("", Kind.SERVER, trace, parent_id) if trace.sampled and _Out.sink else NOT_RECORDED


def follow(cause: Trace | None, name: str, kind: Kind, attributes: Attributes | None = None) -> Position:
    """What is done because of a span elsewhere, in its trace; in a new one without a cause."""
    trace = cause.child() if cause else Trace.start()
    if not trace.sampled or not _Out.sink:
        return Position(trace)
    return Recorded(name, kind, trace, cause.span_id if cause else "", attributes)


def past(name: str, trace: Trace, parent_id: str, began_s: float, seconds: float | None) -> Recorded:
    """Something that is over, at this position; `began_s` by the monotonic clock, and None is until now. To be sent by
    `send`."""
    span = Recorded(name, Kind.INTERNAL, trace, parent_id)
    now, span.began = span.began, span.began - int((time.monotonic() - began_s) * 1e9)
    span.ended = now if seconds is None else span.began + int(seconds * 1e9)
    return span


def send(span: Recorded) -> None:
    if _Out.sink:
        _Out.sink(span)


def exemplar() -> dict[str, str] | None:
    """What a histogram may keep of an observation that is made now."""
    trace = recorded()
    return {"trace_id": trace.trace_id, "span_id": trace.span_id} if trace else None


def exemplar_of(span: Span) -> dict[str, str] | None:
    """What a histogram may keep of an observation of that span."""
    return {"trace_id": span.trace.trace_id, "span_id": span.trace.span_id} if isinstance(span, Recorded) else None


@contextmanager
def recording(sink: Sink, share: float) -> Iterator[None]:
    """Within the block, this share of the traces that begin is recorded. Spans go to the sink, which must not fail."""
    before = Sampling.share, _Out.sink
    Sampling.share, _Out.sink = share, sink
    try:
        yield
    finally:
        Sampling.share, _Out.sink = before
