"""The publisher, the worker's consumers and the live feed keep their guarantees against a broker that fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from random import Random
from uuid import UUID

import aio_pika
import pytest
from aio_pika.exceptions import DeliveryError
from yarl import URL

from services.gateway.live.feed import Change, LiveFeed
from services.worker.broker.consumers import Consumers
from services.worker.ledger.failures import DeadLetter
from services.worker.ledger.job import Job, JobMessage
from services.worker.ledger.ledger import Ledger, Outcome
from services.worker.live_hints import Hints
from services.worker.settings import Settings, Tuning
from shared.contracts import events, topology
from shared.ids import new_id
from shared.outbox.publisher import Publisher, connected
from shared.rabbitmq import LOST
from shared.server.background import Background, RestartPolicy
from tests.support.gateway.declared import PANELS
from tests.support.patience import PATIENCE_S, patient
from tests.support.simulation.models import served_model
from tests.support.waiting import eventually
from tests.support.worker.jobs import job_of
from tests.support.worker.world import created, message_of
from tools.lab.simulation.rabbitmq import BrokerFaults, RabbitModel

TYPE = events.OrderCreated.type
FAULTS = BrokerFaults(
    cut=0.002,
    settlement_lost=0.02,
    confirm_lost=0.01,
    confirm_late=0.1,
    confirm_late_s=0.05,
    nack=0.02,
    channel_closed=0.002,
    consumer_cancelled=0.01,
)
EVENTS = 120
BATCH = 20
LONG_S = 3 * PATIENCE_S
"""For all events together."""
TUNING = Tuning(reconnect_s=0.02, watch_interval_s=0.05)
UNFORGIVING = RestartPolicy(settled_s=3600)
"""A task that has failed once counts as failing until the end of its test."""


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    with patient():
        yield


@asynccontextmanager
async def served(seed: int) -> AsyncIterator[tuple[RabbitModel, str]]:
    model = RabbitModel(Random(seed))
    async with served_model(model) as address:
        yield model, f"amqp://guest:guest@{address}/"
    assert model.not_modelled == []


async def publish_all(url: str, ids: list[UUID], after_batch: Callable[[], None]) -> None:
    """Publish events as the relay does: in batches, each again until it is confirmed and no queue was lost."""
    waiting = list(ids)
    while waiting:
        with suppress(*LOST):
            async with (
                connected(aio_pika.Connection(URL(url))) as connection,
                Publisher.declared(connection, "test.0") as publisher,
            ):
                while waiting:
                    waiting = [*await _publish(publisher, waiting[:BATCH]), *waiting[BATCH:]]
                    after_batch()


async def _publish(publisher: Publisher, batch: list[UUID]) -> list[UUID]:
    """Return what has to be published again."""
    await publisher.prepare([TYPE])
    messages = [message_of(event_id, created(new_id())) for event_id in batch]
    publishing = (publisher.publish(message, TYPE) for message in messages)
    outcomes = await asyncio.gather(*publishing, return_exceptions=True)
    await publisher.check_received([TYPE])
    if any(isinstance(outcome, BaseException) and not isinstance(outcome, DeliveryError) for outcome in outcomes):
        raise ConnectionError(repr(outcomes))
    return [event_id for event_id, outcome in zip(batch, outcomes, strict=True) if outcome is not None]


async def stored(url: str, queue: str) -> set[str]:
    """Return the ids of all messages in a queue."""
    found = set()
    async with await aio_pika.connect(url) as connection:
        opened = await (await connection.channel()).get_queue(queue)
        while message := await opened.get(fail=False, no_ack=True):
            found.add(message.message_id or "")
    return found


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in (1, 2, 3))])
async def test_every_queue_has_every_event_that_the_publisher_counts_as_published(seed: int) -> None:
    """Whatever is lost on the way, and in restarts of the broker."""
    random = Random(seed)
    ids = [new_id() for _ in range(EVENTS)]
    async with served(seed) as (model, url):
        model.faults = BrokerFaults(**vars(FAULTS))

        def meddle() -> None:
            if random.random() < 0.2:
                model.restart()

        await asyncio.wait_for(publish_all(url, ids, meddle), LONG_S)
        model.faults.stop()
        for queue in topology.receivers_of(TYPE):
            assert await stored(url, queue.name) >= {str(each) for each in ids}


@pytest.mark.parametrize("seed", range(2))
async def test_an_event_is_published_again_if_a_queue_was_deleted_meanwhile(seed: int) -> None:
    """A batch in flight while its queue is deleted is in the queue that is declared afterwards."""
    random, queue = Random(seed), "worker.email"
    async with served(seed) as (model, url):
        model.faults = BrokerFaults(confirm_late=1, confirm_late_s=3)
        ids = [new_id() for _ in range(BATCH)]
        publishing = asyncio.create_task(publish_all(url, ids, lambda: None))
        await eventually(lambda: model.queues.get(queue, 0) > random.randrange(BATCH))
        unconfirmed = not publishing.done()
        model.delete_queue(queue)
        model.faults.stop()
        await asyncio.wait_for(publishing, PATIENCE_S)
        assert unconfirmed
        assert await stored(url, queue) == {str(each) for each in ids}


class MemoryLedger(Ledger):
    """Records what it is asked to run."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.dead: dict[str, str] = {}
        """The reason of each dead letter, by its event."""

    async def run(self, job: Job, message: JobMessage) -> Outcome:  # noqa: ARG002
        await asyncio.sleep(0)
        self.ran.append(str(message.event_id))
        return Outcome.DONE

    async def record_dead_letter(self, dead_letter: DeadLetter, message: JobMessage) -> None:
        self.dead[str(message.event_id)] = dead_letter.reason

    async def probe(self) -> None:
        pass

    async def paused(self) -> frozenset[str]:
        return frozenset()


@asynccontextmanager
async def consuming(url: str, ledger: Ledger) -> AsyncIterator[None]:
    """Run the worker's consumers of one job within the block."""
    settings = Settings(environment="development", database_url="postgresql://unused", rabbitmq_url=url)
    consumers = Consumers(settings, TUNING, ledger, [job_of("email")], Hints(), lambda _: None)
    # It cancels again, if a library makes an error of its own of it.
    async with Background(policy=UNFORGIVING) as background:
        running = background.start("consumers", consumers.run)
        yield
        assert not running.done()
        await background.check()  # it has not been begun again either


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in (1, 2, 3))])
async def test_the_worker_runs_every_event_however_often_its_consumers_are_lost(seed: int) -> None:
    """At least once: what was not acknowledged comes again, or is a dead letter after too many deliveries. In the end
    nothing is left in flight."""
    random, ledger = Random(seed), MemoryLedger()
    ids = [new_id() for _ in range(EVENTS)]
    async with served(seed) as (model, url), consuming(url, ledger):
        model.faults = BrokerFaults(**vars(FAULTS))

        def meddle() -> None:
            cancel = partial(model.cancel_consumers, "worker.email")
            faults: list[Callable[[], None]] = [model.cut_all, model.close_all, model.restart, cancel]
            random.choice(faults)()

        await asyncio.wait_for(publish_all(url, ids, meddle), LONG_S)
        model.faults.stop()
        await eventually(lambda: {str(each) for each in ids} <= {*ledger.ran, *ledger.dead}, LONG_S)
        await eventually(lambda: model.in_flight == 0 and model.queues["worker.email"] == 0, LONG_S)
        assert set(ledger.dead.values()) <= {"delivery_limit"}


class Listening:
    """Records what the live feed says."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def feed_came(self) -> None:
        self.said.append("came")

    def feed_lost(self) -> None:
        self.said.append("lost")

    def changed(self, change: Change) -> None:
        self.said.append(change.user_id)

    def changed_unreadably(self) -> None:
        self.said.append("unreadable")


def _delete_feed(model: RabbitModel) -> None:
    [name] = [name for name in model.queues if name.startswith("amq.gen-")]
    model.delete_queue(name)


@pytest.mark.parametrize("fault", [RabbitModel.cut_all, RabbitModel.close_all, RabbitModel.restart, _delete_feed])
async def test_the_live_feed_says_that_it_was_lost(fault: Callable[[RabbitModel], None]) -> None:
    """Its listeners hear of it before they hear of later changes; then it is back."""
    user, later = new_id(), new_id()
    listening = Listening()
    async with served(1) as (model, url):
        feed = LiveFeed(url, PANELS, 0.02)
        feed.subscribe(listening)
        async with Background(policy=UNFORGIVING) as background:
            background.start("feed", feed.run)
            await eventually(lambda: listening.said == ["came"])
            await _tell(url, user)
            await eventually(lambda: listening.said == ["came", user])
            fault(model)
            await eventually(lambda: listening.said == ["came", user, "lost", "came"])
            await _tell(url, later)
            await eventually(lambda: listening.said[-1] == later)
            await background.check()


async def _tell(url: str, user_id: UUID) -> None:
    async with await aio_pika.connect(url) as connection:
        exchange = await (await connection.channel()).get_exchange(topology.EVENTS, ensure=False)
        await exchange.publish(message_of(new_id(), created(user_id)), TYPE)
