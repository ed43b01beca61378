"""The spans of jobs: each in the trace of its event, below the span that published the event."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.worker.ledger.job import JobMessage
from shared.observability import tracing
from shared.observability.telemetry import Trace
from shared.observability.tracing import Kind, Position


def of(job: str, message: JobMessage, attempt: int = 1) -> Position:
    """One attempt at a job for one event."""
    return _follow(job, message, Trace.parse(message.traceparent), {"dashboard.job.attempt": attempt})


@contextmanager
def of_many(job: str, messages: Sequence[JobMessage]) -> Iterator[None]:
    """One span for each event whose trace is recorded. The work itself belongs to the first; the others link to it."""
    spans = list(_recorded(job, messages)) if tracing.is_on() else []
    if not spans:
        yield
        return
    first, *others = spans
    try:
        with first:
            yield
    except Exception as error:
        for other in others:
            other.fail(type(error).__name__)
        raise
    finally:
        for other in others:
            other.link(first.trace)
            other.end()


def _recorded(job: str, messages: Sequence[JobMessage]) -> Iterator[Position]:
    for message in messages:
        cause = Trace.parse(message.traceparent)
        if cause and cause.sampled:
            yield _follow(job, message, cause, {"messaging.batch.message_count": len(messages)})


def _follow(job: str, message: JobMessage, cause: Trace | None, more: tracing.Attributes) -> Position:
    queue = f"worker.{job}"
    span = tracing.follow(cause, f"process {queue}", Kind.CONSUMER)
    if span.recorded:
        span.set(
            {
                "messaging.system": "rabbitmq",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": queue,
                "messaging.rabbitmq.destination.routing_key": message.event_type,
                "messaging.message.id": str(message.event_id),
                **more,
            }
        )
    return span
