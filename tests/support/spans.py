"""What tests look at: the spans that were recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shared.observability import tracing
from shared.observability.tracing import Recorded


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


_recording_here: ContextVar[Spans | None] = ContextVar("recording_here", default=None)


@contextmanager
def recorded(share: float = 1) -> Iterator[Spans]:
    """All spans of this process, within the block."""
    spans = Spans()
    with tracing.recording(spans.append, share):
        yield spans


@contextmanager
def recorded_here(share: float = 1) -> Iterator[Spans]:
    """The spans of what the block calls and starts. Applications of other tests may run in this process."""
    spans = Spans()

    def add(span: tracing.Recorded) -> None:
        if _recording_here.get() is spans:
            spans.append(span)

    token = _recording_here.set(spans)
    with tracing.recording(add, share):
        yield spans
    _recording_here.reset(token)
