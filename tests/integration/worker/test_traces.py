"""What is recorded of jobs: each in the trace of its event."""

from shared.ids import new_id
from shared.observability.telemetry import SAMPLED, Trace
from tests.support.spans import Recorded, Spans, recorded
from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S, World, created, message_of, registered


def cause(digit: str) -> Trace:
    return Trace(digit * 32, digit * 16, SAMPLED)


def jobs_of(spans: Spans, trace: Trace) -> dict[str, Recorded]:
    of_trace = spans.of(trace.trace_id)
    return {span.name.removeprefix("process worker."): span for span in of_trace if span.parent_id == trace.span_id}


async def test_an_event_s_jobs_are_below_its_publishing(world: World) -> None:
    """Down to the mail, and the mail server's answer; nobody is named."""
    user_id, event_id, published = await world.known(name="Ada"), new_id(), cause("a")
    with recorded(share=0) as spans:
        await world.publish_raw(message_of(event_id, created(user_id), traceparent=str(published)))
        await world.until(event_id, email="done", analytics="done", notifications="done", webhooks="done")
        await eventually(lambda: len(jobs_of(spans, published)) == 4, LONG_S)
    jobs = jobs_of(spans, published)
    assert set(jobs) == {"email", "analytics", "notifications", "webhooks"}
    sending = spans.of(published.trace_id).named("send mail")
    assert spans.parent_of(sending) is jobs["email"]
    assert sending.attributes == {"dashboard.mail.verdict": "sent", "dashboard.mail.reply": 250}
    assert jobs["email"].attributes["messaging.message.id"] == str(event_id)
    assert jobs["email"].attributes["dashboard.job.outcome"] == "done"
    for job in jobs.values():
        assert any(span.name == "postgresql" and span.parent_id == job.trace.span_id for span in spans)
    said = " ".join(f"{span.name} {span.attributes} {span.error}" for span in spans)
    assert str(user_id) not in said
    assert user_id.hex not in said
    assert "Ada" not in said


async def test_a_batch_is_a_span_in_each_trace(world: World) -> None:
    """The work is in the first's, which the others link to, whichever came together."""
    user_id, causes = await world.known(), [cause(digit) for digit in "bcd"]
    ids = [new_id() for _ in causes]
    with recorded(share=0) as spans:
        messages = [
            message_of(event_id, created(user_id), traceparent=str(each))
            for event_id, each in zip(ids, causes, strict=True)
        ]
        await world.publish_raw(*messages)
        await world.until_all(ids, analytics="done")
        await eventually(lambda: all("analytics" in jobs_of(spans, each) for each in causes), LONG_S)
    folds = [jobs_of(spans, each)["analytics"] for each in causes]
    for fold in folds:
        works = any(span.name == "postgresql" and span.parent_id == fold.trace.span_id for span in spans)
        assert works or fold.links[0] in [other.trace for other in folds]


async def test_a_job_that_is_tried_again_stays_in_its_trace(world: World) -> None:
    """Each attempt is numbered; the first says what became of it."""
    user, event_id, published = registered(), new_id(), cause("e")
    with recorded(share=0) as spans:
        await world.publish_raw(message_of(event_id, created(user.user_id), traceparent=str(published)))
        await world.until(event_id, email="retrying")
        await world.publish(user)
        await world.until(event_id, email="done")
        await eventually(lambda: spans.of(published.trace_id).all_named("send mail"), LONG_S)
    attempts = [span for span in spans.all_named("process worker.email") if span.parent_id == published.span_id]
    assert attempts[0].attributes["dashboard.job.outcome"] == "retrying"
    numbers = [span.attributes["dashboard.job.attempt"] for span in attempts]
    assert numbers == list(range(1, len(numbers) + 1))
    assert spans.of(published.trace_id).named("send mail").parent_id == attempts[-1].trace.span_id


async def test_what_is_not_recorded_leaves_no_span(world: World) -> None:
    """The flag of the event decides, also where everything that begins here would be recorded."""
    user_id, event_id = await world.known(), new_id()
    with recorded(share=1) as spans:
        unsampled = Trace("f" * 32, "f" * 16)
        await world.publish_raw(message_of(event_id, created(user_id), traceparent=str(unsampled)))
        await world.until(event_id, email="done", analytics="done", notifications="done", webhooks="done")
    assert not [span for span in spans if span.trace.trace_id == unsampled.trace_id]
