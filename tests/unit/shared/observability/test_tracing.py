"""Which traces are recorded, what their spans say, and what they never say."""

import asyncio
from contextvars import Context, copy_context

import pytest

from shared.observability import telemetry, tracing
from shared.observability.telemetry import NOT_SAMPLED, SAMPLED, Trace, begin, current_trace
from shared.observability.tracing import NOT_RECORDED, Kind
from tests.support.spans import recorded_here

HERE = Trace("1" * 32, "2" * 16, SAMPLED)


@pytest.fixture(autouse=True)
def _nowhere() -> None:
    current_trace.set(None)


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("03", True), ("02", False), ("ff", True)])
def test_the_last_bit_of_the_flags_says_whether_a_trace_is_sampled(flags: str, sampled: bool) -> None:
    """Other bits, which later versions may define, are not passed on."""
    trace = Trace.parse(f"00-{'1' * 32}-{'2' * 16}-{flags}")
    assert trace is not None
    assert trace.sampled is sampled
    assert str(trace.child()).endswith("-01" if sampled else "-00")


@pytest.mark.parametrize(
    "text", [None, "", "00-1-2-01", f"00-{'0' * 32}-{'2' * 16}-01", f"01-{'1' * 32}-{'2' * 16}-01"]
)
def test_what_is_no_traceparent_is_none(text: str | None) -> None:
    """Neither in form nor in version."""
    assert Trace.parse(text) is None


def test_the_share_decides_where_a_trace_begins() -> None:
    """None, all, or about so many; and none as long as nothing is recorded."""
    assert begin().trace.flags == NOT_SAMPLED
    with recorded_here(share=1):
        assert begin().trace.flags == SAMPLED
    with recorded_here(share=0):
        assert begin().trace.flags == NOT_SAMPLED
    with recorded_here(share=0.1):
        assert 300 < sum(begin().trace.sampled for _ in range(10_000)) < 2000


def test_of_a_trace_that_is_not_sampled_nothing_is_made() -> None:
    """Every span is the same object, and the position stays where it was."""
    with recorded_here() as spans:
        current_trace.set(unsampled := Trace("1" * 32, "2" * 16))
        with tracing.span("work") as span:
            assert span is NOT_RECORDED
            assert current_trace.get() is unsampled
        assert tracing.exemplar() is None
    assert spans == []


def test_without_a_collector_a_sampled_trace_is_passed_on_and_not_recorded() -> None:
    """Another process may record its part."""
    current_trace.set(HERE)
    assert tracing.span("work") is NOT_RECORDED
    assert telemetry.traceparent() == str(HERE)


def test_spans_stand_below_each_other() -> None:
    """What is done within a span has it as its parent, also when it is sent elsewhere; after it all is as before."""
    with recorded_here() as spans:
        current_trace.set(HERE)
        with tracing.span("outer"), tracing.span("inner", Kind.CLIENT, {"a": 1}) as work:
            work.set({"b": "two"})
            sent = Trace.parse(telemetry.traceparent())
        assert current_trace.get() is HERE
    outer, inner = spans.named("outer"), spans.named("inner")
    assert outer.parent_id == HERE.span_id
    assert inner.parent_id == outer.trace.span_id
    assert sent == inner.trace
    assert inner.attributes == {"a": 1, "b": "two"}
    assert outer.began <= inner.began <= inner.ended <= outer.ended


def test_what_is_done_because_of_an_event_is_in_its_trace() -> None:
    """Without one, it begins a trace."""
    with recorded_here(share=0) as spans:
        with tracing.follow(HERE, "job", Kind.CONSUMER):
            assert current_trace.get() is not None
        with tracing.follow(None, "alone", Kind.CONSUMER):
            assert current_trace.get() is not None
    assert [span.name for span in spans] == ["job"]
    assert spans[0].parent_id == HERE.span_id


def test_a_failure_is_named_and_not_quoted() -> None:
    """The message of an exception may hold anything, so only its type is recorded."""
    with recorded_here() as spans:
        current_trace.set(HERE)
        with pytest.raises(ValueError, match="ann"), tracing.span("work"):
            raise ValueError("ann@example.com")
    [span] = spans
    assert "ann@example.com" not in repr(span)
    assert span.failed
    assert span.attributes == {"error.type": "ValueError"}


async def test_what_nobody_waits_for_any_more_has_not_failed() -> None:
    """A second attempt that is not needed is cancelled: it is said, and is no error."""

    async def attempt() -> None:
        with tracing.span("attempt"):
            await asyncio.Event().wait()

    with recorded_here() as spans:
        current_trace.set(HERE)
        task = asyncio.create_task(attempt())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    [span] = spans
    assert not span.failed
    assert span.attributes == {"error.type": "CancelledError"}


def test_a_block_may_be_left_in_another_context() -> None:
    """As a stream's is that its client has left."""
    with recorded_here() as spans:
        current_trace.set(HERE)
        span = tracing.span("stream")
        copy_context().run(span.__enter__)
        span.__exit__(None, None, None)
        assert current_trace.get() is HERE
    assert len(spans) == 1


def test_an_end_is_told_once() -> None:
    """However often it is said."""
    with recorded_here() as spans:
        span = tracing.answer(HERE, "")
        span.end()
        span.end()
    assert len(spans) == 1


def test_every_line_of_the_log_has_the_trace_of_what_is_done() -> None:
    """Recorded or not, in a request or in a job."""

    def work() -> None:
        assert telemetry.request_ids() == {}
        with tracing.follow(HERE.child(NOT_SAMPLED), "job", Kind.CONSUMER):
            assert telemetry.request_ids() == {"trace_id": HERE.trace_id}

    Context().run(work)  # nothing of the tests before
