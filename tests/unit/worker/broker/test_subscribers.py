"""Subscribers with their middlewares, without RabbitMQ and without a database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from aio_pika.message import IncomingMessage
from faststream.rabbit import RabbitBroker, TestRabbitBroker
from faststream.rabbit.subscriber import RabbitSubscriber

from services.worker.broker import subscribers
from services.worker.broker.acknowledgements import Acknowledger
from services.worker.broker.message_processor import MessageProcessor, ProcessorFailed
from services.worker.broker.queue_stats import QueueStats
from services.worker.ledger.backpressure import Backpressure
from services.worker.ledger.failures import DeadLetter
from services.worker.ledger.job import Job, JobMessage
from services.worker.ledger.ledger import Ledger, Outcome
from shared.contracts import topology
from shared.contracts.topology import JobQueue
from shared.ids import new_id
from shared.observability.telemetry import SAMPLED, Trace
from tests.support.metrics import sample
from tests.support.spans import recorded
from tests.support.waiting import eventually
from tests.support.worker.jobs import job_of
from tests.support.worker.world import created, message_of

EMAIL = JobQueue("email", topology.QUEUES["email"].routing_keys)


class Channel:
    """Messages refer to it, and it is never closed."""


@pytest.fixture(autouse=True)
def _open_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """FastStream's test messages have a channel that counts as closed."""
    channel = Channel()
    monkeypatch.setattr(IncomingMessage, "channel", property(lambda _: channel))


class FakeLedger(Ledger):
    """Runs nothing. It fails as often as told, and waits while it is held."""

    def __init__(self) -> None:
        self.ran: list[JobMessage] = []
        self.dead: list[tuple[DeadLetter, JobMessage]] = []
        self.failures = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def run(self, job: Job, message: JobMessage) -> Outcome:  # noqa: ARG002
        self.ran.append(message)
        await self.go_on.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the ledger is away")
        return Outcome.DONE

    async def record_dead_letter(self, dead_letter: DeadLetter, message: JobMessage) -> None:
        self.dead.append((dead_letter, message))

    async def probe(self) -> None:
        pass


class RecordingAcknowledger(Acknowledger):
    def __init__(self, failing: bool = False) -> None:
        self.acknowledged = 0
        self.returned = 0
        self._failing = failing

    async def acknowledge(self, received: Any) -> None:
        if self._failing:
            raise ZeroDivisionError("a defect")
        self.acknowledged += len(received)

    async def give_back(self, received: Any) -> None:
        self.returned += len(received)


class Bench:
    """One job's subscriber, and a processor that may be closed before the end of the test."""

    def __init__(self, acknowledger: RecordingAcknowledger, hold_s: float = 60) -> None:
        self.acknowledger = acknowledger
        self.ledger = FakeLedger()
        self.processor = MessageProcessor(self.ledger, Backpressure(self.ledger.probe, 0.01, hold_s), 60)
        self.stats = QueueStats(acknowledger)
        self.broker = subscribers.new_broker()
        self.subscriber: RabbitSubscriber = subscribers.one_by_one(
            self.broker, EMAIL, job_of("email"), self.ledger, self.processor, self.stats
        )
        subscribers.dead_letters(self.broker, [job_of("email")], self.ledger, self.processor, self.stats)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RabbitBroker]:
        async with self.processor, TestRabbitBroker(self.broker, connect_only=False) as broker:
            yield broker


async def publish(broker: RabbitBroker, queue: str = EMAIL.name, **headers: Any) -> UUID:
    event_id = new_id()
    message = message_of(event_id, created(new_id()), **headers)
    await broker.publish(message.body, queue, headers=dict(message.headers), message_id=str(event_id))
    return event_id


def attempts(outcome: str) -> float:
    return sample("worker_jobs_total", {"job": "email", "outcome": outcome}) or 0


async def test_a_message_is_processed_counted_and_acknowledged() -> None:
    """The ledger gets the event, and the message is acknowledged after it is done."""
    bench, before = Bench(RecordingAcknowledger()), attempts("done")
    async with bench.running() as broker:
        event_id = await publish(broker)
    [message] = bench.ledger.ran
    assert (message.event_id, message.envelope.event.type) == (event_id, "order.created")
    assert (bench.acknowledger.acknowledged, bench.acknowledger.returned, bench.stats.in_hand) == (1, 0, 0)
    assert attempts("done") == before + 1


async def test_an_attempt_is_a_span_below_its_event() -> None:
    """The span names the queue and the outcome."""
    bench, cause = Bench(RecordingAcknowledger()), Trace("a" * 32, "a" * 16, SAMPLED)
    with recorded(share=0) as spans:
        async with bench.running() as broker:
            await publish(broker, traceparent=str(cause))
    span = spans.of(cause.trace_id).named("process worker.email")
    assert span.parent_id == cause.span_id
    assert span.attributes["dashboard.job.outcome"] == "done"


async def test_a_message_waits_for_the_ledger() -> None:
    """The attempt is made again, and the message is acknowledged once."""
    bench = Bench(RecordingAcknowledger())
    bench.ledger.failures = 3
    async with bench.running() as broker:
        await publish(broker)
    assert len(bench.ledger.ran) == 4
    assert (bench.acknowledger.acknowledged, bench.acknowledger.returned) == (1, 0)


async def test_a_message_that_the_ledger_does_not_take_is_returned() -> None:
    """The ledger answers, but never takes this message."""
    bench = Bench(RecordingAcknowledger(), hold_s=0)
    bench.ledger.failures = 1000
    async with bench.running() as broker:
        await publish(broker)
    assert (bench.acknowledger.acknowledged, bench.acknowledger.returned) == (0, 1)


async def test_work_survives_its_callback() -> None:
    """aiormq cancels the callbacks of a channel that closes. The work goes on, and its message is settled."""
    bench = Bench(RecordingAcknowledger())
    bench.ledger.go_on.clear()
    async with bench.running() as broker:
        callback = asyncio.create_task(publish(broker))
        await eventually(lambda: bool(bench.ledger.ran))
        callback.cancel()
        with pytest.raises(asyncio.CancelledError):
            await callback
        assert bench.stats.in_hand == 1
        bench.ledger.go_on.set()
        await eventually(lambda: bench.acknowledger.acknowledged == 1)


async def test_a_defect_is_reported() -> None:
    """A message that is neither acknowledged nor returned needs a new connection."""
    bench = Bench(RecordingAcknowledger(failing=True))
    async with bench.running() as broker:
        with pytest.raises(ZeroDivisionError):
            await publish(broker)
        with pytest.raises(ProcessorFailed):
            bench.processor.check()


async def test_a_message_that_is_no_event_reaches_the_ledger() -> None:
    """It has an identity, so that it can be kept as a dead job."""
    bench = Bench(RecordingAcknowledger())
    event_id = new_id()
    async with bench.running() as broker:
        await broker.publish(b"{", EMAIL.name, message_id=str(event_id))
    [message] = bench.ledger.ran
    assert (message.event_id, message.is_readable) == (event_id, False)


async def test_a_dead_letter_is_recorded() -> None:
    """With the job and the reason that RabbitMQ names."""
    bench = Bench(RecordingAcknowledger())
    deaths = [{"queue": "worker.email", "reason": "delivery_limit"}]
    async with bench.running() as broker:
        event_id = await publish(broker, topology.DEAD_QUEUE, **dict[str, Any]({"x-death": deaths}))
    [(dead_letter, message)] = bench.ledger.dead
    assert (dead_letter.job, dead_letter.reason, message.event_id) == ("email", "delivery_limit", event_id)
    assert bench.acknowledger.acknowledged == 1


async def test_a_stopped_subscriber_drops_a_message_unsettled() -> None:
    """This is why a consumer is cancelled before its subscriber is stopped."""
    bench = Bench(RecordingAcknowledger())
    async with bench.running():
        bench.subscriber.running = False
        assert await bench.subscriber.consume(IncomingMessage.__new__(IncomingMessage)) is None
    assert not bench.ledger.ran
