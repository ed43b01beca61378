"""The subscribers: one for each job's queue and one for dead letters, on FastStream's routers.

The handler of a subscriber takes a message as the ledger needs it. Middlewares do the rest, see `middlewares`.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any, cast

from aio_pika import RobustConnection
from faststream import AckPolicy
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitMessage, RabbitQueue, RabbitRouter
from faststream.rabbit.subscriber import RabbitSubscriber
from pydantic import InstanceOf, WithJsonSchema

from services.worker.broker.message_processor import MessageProcessor
from services.worker.broker.middlewares import AttemptMiddleware, DeliveryMiddleware
from services.worker.broker.queue_stats import QueueStats
from services.worker.ledger.failures import DeadLetter
from services.worker.ledger.job import Job, JobMessage
from services.worker.ledger.ledger import Ledger, Outcome
from shared.contracts import topology
from shared.contracts.events import KINDS
from shared.contracts.topology import JobQueue
from shared.observability.logs import get_logger

log = get_logger(__name__)

DEAD_LETTERS = "dead"
"""The name of dead letters in logs and metrics, in place of a job's."""
DEAD_PREFETCH = 10

Handler = Callable[[JobMessage], Awaitable[object]]
BrokerMiddlewares = Sequence[Any]
"""Each makes a middleware for a message."""


class FastStreamLog:
    """Logs at debug level what FastStream has to say. An error of a handler is logged by the message processor."""

    logger = None

    def log(self, level: int, message: object, /, *, exc_info: object = None, extra: Any = None) -> None:
        log.debug(str(message), level=level, error=repr(exc_info) if exc_info else None, **(extra or {}))


def new_broker() -> RabbitBroker:
    """Return a broker without a connection."""
    return RabbitBroker(decoder=_decode, apply_types=False, logger=None, graceful_timeout=None, app_id="worker")


def attach(broker: RabbitBroker, connection: RobustConnection) -> None:
    """Let the subscribers use this connection, as `broker.connect` does with its own. The caller closes it."""
    broker.config.connect(connection)
    broker.config.logger.logger = cast("Any", FastStreamLog())


def one_by_one(
    broker: RabbitBroker, queue: JobQueue, job: Job, ledger: Ledger, processor: MessageProcessor, stats: QueueStats
) -> RabbitSubscriber:
    """Subscribe a job that processes one event at a time."""

    async def run(message: JobMessage) -> Outcome:
        return await ledger.run(job, message)

    middlewares = (
        partial(DeliveryMiddleware, name=job.name, processor=processor, stats=stats),
        partial(AttemptMiddleware, job=job.name),
    )
    return subscribe(broker, queue, job.policy.prefetch, run, middlewares)


def batched(broker: RabbitBroker, queue: JobQueue, job: Job) -> RabbitSubscriber:
    """Subscribe a job with batches. It has no handler: its consumer collects the messages."""
    return subscribe(broker, queue, job.policy.prefetch)


def dead_letters(
    broker: RabbitBroker, jobs: Sequence[Job], ledger: Ledger, processor: MessageProcessor, stats: QueueStats
) -> RabbitSubscriber:
    """Subscribe to the dead letters, which become dead jobs in the ledger."""
    by_name = {job.name: job for job in jobs}

    async def record(message: JobMessage) -> None:
        await ledger.record_dead_letter(DeadLetter.read(message.headers, by_name), message)

    middlewares = [partial(DeliveryMiddleware, name=DEAD_LETTERS, processor=processor, stats=stats)]
    subscriber = _subscriber(broker, topology.DEAD_QUEUE, DEAD_PREFETCH, "Messages that RabbitMQ gave up.", middlewares)
    subscriber(record)
    return subscriber


def subscribe(
    broker: RabbitBroker,
    queue: JobQueue,
    prefetch: int,
    handler: Handler | None = None,
    middlewares: BrokerMiddlewares = (),
) -> RabbitSubscriber:
    """Subscribe to the queue of a job."""
    said = f"The quorum queue of the job `{queue.job}`; dead-letters to `{topology.DEAD}`."
    subscriber = _subscriber(broker, queue.name, prefetch, said, middlewares)
    if handler:
        handler.__annotations__["message"] = Annotated[InstanceOf[JobMessage], WithJsonSchema(_schema(queue))]
        subscriber(handler)
    return subscriber


def _subscriber(
    broker: RabbitBroker, queue: str, prefetch: int, description: str, middlewares: BrokerMiddlewares
) -> RabbitSubscriber:
    router = RabbitRouter(middlewares=middlewares)
    subscriber = router.subscriber(
        RabbitQueue(queue, queue_type=QueueType.QUORUM, durable=True, declare=False),
        channel=Channel(prefetch_count=prefetch, publisher_confirms=False),
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
        title=queue,
        description=description,
    )
    broker.include_router(router)
    return subscriber


def _schema(queue: JobQueue) -> dict[str, object]:
    """Return a schema with the titles of the events in a queue."""
    return {"oneOf": [{"title": KINDS[key].__name__} for key in queue.routing_keys]}


async def _decode(message: RabbitMessage) -> JobMessage:
    """Never fails: an unreadable message is a job that fails."""
    return JobMessage.read(message.headers, message.body, message.raw_message.message_id)
