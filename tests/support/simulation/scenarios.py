"""What clients do with RabbitMQ, one function for each; each returns what the client has seen.

Names of queues and exchanges begin with `name`, which is unique.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from tests.support.patience import PATIENCE_S
from tests.support.waiting import eventually

QUORUM: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 3}
PERSISTENT = Basic.Properties(delivery_mode=2)
Scenario = Callable[[str, str], Awaitable[Any]]


@asynccontextmanager
async def channel(url: str, *, confirms: bool = True, **options: Any) -> AsyncIterator[Any]:
    """Provide a channel, as `Any`: what the broker always sends is optional in aiormq's types."""
    async with aiormq.connect(url) as connection:
        yield await connection.channel(publisher_confirms=confirms, **options)


async def error_of(work: Awaitable[Any]) -> str:
    """Return the kind and the text of the error that this raises."""
    try:
        await work
    except Exception as error:
        text = str(error)
        if "inequivalent arg" in text:  # what follows names types, in words that differ between versions
            text = text.partition(": received")[0]
        return f"{type(error).__name__}: {text.partition('. It could be')[0]}"
    return "none"


async def closing_error(channel: AbstractChannel, work: Awaitable[Any]) -> str:
    """Return the error with which the broker closes the channel after this, which needs no reply."""
    closing = channel.closing
    await work
    return await error_of(asyncio.wait_for(closing, PATIENCE_S))


async def bodies(channel: AbstractChannel, queue: str, count: int) -> list[str]:
    """Return this many messages of a queue, once they are there, and check that there are no more."""

    async def there() -> bool:
        return bool((await channel.queue_declare(queue, passive=True)).message_count == count)

    await eventually(there, PATIENCE_S)
    return [(await channel.basic_get(queue, no_ack=True)).body.decode() for _ in range(count)]


async def missing(url: str, name: str) -> Any:
    """Things that do not exist close the channel."""
    seen: list[Any] = []
    attempts: Sequence[Callable[[AbstractChannel], Awaitable[Any]]] = (
        lambda channel: channel.queue_declare(name, passive=True),
        lambda channel: channel.exchange_declare(name, passive=True),
        lambda channel: channel.queue_bind(name, "amq.topic"),
        lambda channel: channel.basic_consume(name, _ignore),
        lambda channel: channel.basic_get(name),
        lambda channel: channel.queue_purge(name),
        lambda channel: channel.basic_publish(b"", exchange=name),
    )
    for attempt in attempts:
        async with channel(url) as one:
            seen.append(await error_of(attempt(one)))
    async with channel(url) as one:
        seen.append(await closing_error(one, one.queue_bind(name, "amq.topic", nowait=True)))
        again = await one.connection.channel()
        seen.append((await again.queue_delete(name)).message_count)
        await again.exchange_delete(name)
    return seen


async def declared_differently(url: str, name: str) -> Any:
    """A second declaration must be equivalent."""
    async with channel(url) as one:
        await one.queue_declare(name, durable=True, arguments=QUORUM)
        await one.exchange_declare(name, exchange_type="topic", durable=True)
        again = await one.queue_declare(name, durable=True, arguments=QUORUM)
        await one.exchange_declare(name, exchange_type="topic", durable=True)
    seen: list[Any] = [again.queue]
    for arguments in ({}, QUORUM | {"x-delivery-limit": 4}, QUORUM | {"x-dead-letter-exchange": "dead"}):
        async with channel(url) as one:
            seen.append(await error_of(one.queue_declare(name, durable=True, arguments=arguments)))
    for options in ({"durable": False}, {"exchange_type": "fanout"}, {"auto_delete": True}, {"internal": True}):
        async with channel(url) as one:
            given = {"exchange_type": "topic", "durable": True} | options
            seen.append(await error_of(one.exchange_declare(name, **given)))
    async with channel(url) as one:
        await one.queue_delete(name)
        await one.exchange_delete(name)
    return seen


async def refused(url: str, name: str) -> Any:
    """What nobody may do."""
    seen: list[Any] = []
    attempts: Sequence[Callable[[AbstractChannel], Awaitable[Any]]] = (
        lambda channel: channel.exchange_declare("amq.mine"),
        lambda channel: channel.queue_declare("amq.mine"),
        lambda channel: channel.queue_declare(name, durable=False, arguments=QUORUM),
        lambda channel: channel.queue_declare(name, durable=True, exclusive=True, arguments=QUORUM),
        lambda channel: channel.queue_declare(name, durable=True, auto_delete=True, arguments=QUORUM),
    )
    for attempt in attempts:
        async with channel(url) as one:
            seen.append((await error_of(attempt(one))).partition(" -")[0])
    return seen


async def routing(url: str, name: str) -> Any:
    """Topic, fanout and direct exchanges; a queue with several matching bindings gets one copy."""
    keys = ("order.created", "order", "order.created.late", "user.created", "", "order.", ".created")
    patterns = (
        "order.*",
        "order.#",
        "*.created",
        "#",
        "#.created",
        "order.created",
        "*",
        "*.*",
        "order.*.late",
        "#.#",
        "",
    )
    async with channel(url) as one:
        await one.exchange_declare(f"{name}.topic", exchange_type="topic")
        await one.exchange_declare(f"{name}.fanout", exchange_type="fanout")
        await one.exchange_declare(f"{name}.direct", exchange_type="direct")
        names = [(await one.queue_declare(exclusive=True)).queue for _ in patterns]
        twice = (await one.queue_declare(exclusive=True)).queue
        for queue, pattern in zip(names, patterns, strict=True):
            await one.queue_bind(queue, f"{name}.topic", pattern)
        for pattern in ("order.*", "#.created"):
            await one.queue_bind(twice, f"{name}.topic", pattern)
        await one.queue_bind(twice, f"{name}.fanout", "ignored")
        await one.queue_bind(twice, f"{name}.direct", "order")
        for key in keys:
            for exchange in ("topic", "fanout", "direct"):
                await one.basic_publish(f"{exchange} {key}".encode(), exchange=f"{name}.{exchange}", routing_key=key)
        counts = [(await one.queue_declare(queue, passive=True)).message_count for queue in (*names, twice)]
        seen = [await bodies(one, queue, count or 0) for queue, count in zip((*names, twice), counts, strict=True)]
        await one.queue_unbind(twice, f"{name}.topic", "order.*")
        await one.queue_unbind(twice, f"{name}.topic", "order.*")
        await one.basic_publish(b"gone", exchange=f"{name}.topic", routing_key="order.paid")
        seen.append(await bodies(one, twice, 0))
        for exchange in ("topic", "fanout", "direct"):
            await one.exchange_delete(f"{name}.{exchange}")
    return seen


async def returned(url: str, name: str) -> Any:
    """A mandatory message without a queue is returned, and confirmed all the same."""
    async with channel(url, on_return_raises=True) as one:
        error = await error_of(one.basic_publish(b"body", routing_key=name, mandatory=True))
        confirmed = await one.basic_publish(b"body", routing_key=name, mandatory=False)
        await one.queue_declare(name, durable=True, arguments=QUORUM)
        stored = await one.basic_publish(b"body", routing_key=name, mandatory=True)
        await one.queue_delete(name)
    return error, type(confirmed).__name__, type(stored).__name__


async def many_confirms(url: str, name: str) -> Any:
    """Every message of a batch is confirmed, however the broker puts the confirms together."""
    async with channel(url) as one:
        await one.queue_declare(name, durable=True, arguments=QUORUM)
        publishing = [one.basic_publish(b"%d" % n, routing_key=name, mandatory=True) for n in range(300)]
        confirms = await asyncio.gather(*publishing)
        seen = await bodies(one, name, 300)
        await one.queue_delete(name)
    return {type(confirm).__name__ for confirm in confirms}, seen


async def contents(url: str, name: str) -> Any:
    """Properties, headers of all kinds, an empty body, and one that takes several frames."""
    properties = Basic.Properties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={
            "text": "ä",
            "number": 7,
            "large": 2**40,
            "negative": -5,
            "yes": True,
            "none": None,
            "list": [1, "two", {"three": 3}],
            "at": datetime(2026, 1, 31, 12, tzinfo=UTC),
        },
        delivery_mode=2,
        priority=3,
        correlation_id="correlation",
        reply_to="reply",
        message_id="id",
        timestamp=datetime(2026, 1, 31, 12, tzinfo=UTC),
        message_type="type",
        app_id="app",
    )
    async with channel(url) as one:
        await one.queue_declare(name, durable=True, arguments=QUORUM)
        seen: list[Any] = []
        for body in (b"", b"{}", b"x" * 300_000, b"y" * 131_064, b"z" * 131_065):
            await one.basic_publish(body, routing_key=name, properties=properties)
            message = await one.basic_get(name, no_ack=True)
            received: dict[str, Any] = dict(message.header.properties)
            received["headers"].pop("x-delivery-count", None)  # a 0 in some versions
            seen.append((message.body == body, message.header.body_size, received))
        await one.queue_delete(name)
    return seen


async def exclusive(url: str, name: str) -> Any:
    """A queue of one connection: nobody else may use it, and it ends with the connection."""
    async with channel(url) as owner:
        unnamed = (await owner.queue_declare(exclusive=True, auto_delete=True)).queue or ""
        await owner.queue_declare(name, exclusive=True, auto_delete=True)
        async with channel(url) as other:
            locked = await error_of(other.queue_declare(name, passive=True))
        await owner.basic_consume(name, _ignore, exclusive=True)
        again = await owner.connection.channel()
        in_use = await error_of(again.basic_consume(name, _ignore))
    async with channel(url) as other:
        gone = await error_of(other.queue_declare(name, passive=True))
    return locked, in_use, gone, unnamed[:8]


async def auto_delete(url: str, name: str) -> Any:
    """A queue ends with its last consumer, and an exchange with its last binding; neither before it had one."""
    async with channel(url) as one:
        await one.queue_declare(name, auto_delete=True)
        await one.exchange_declare(name, exchange_type="fanout", auto_delete=True)
        await one.queue_bind(name, name)
        await one.exchange_declare(name, passive=True)
        tag = (await one.basic_consume(name, _ignore)).consumer_tag
        await one.basic_cancel(tag or "")
        seen = [await error_of(one.queue_declare(name, passive=True))]
    async with channel(url) as one:
        seen.append(await error_of(one.exchange_declare(name, passive=True)))
    return seen


async def witness(url: str, name: str) -> Any:
    """An auto-delete exchange tells whether a durable queue is still the one it was bound to."""
    async with channel(url) as one:
        await one.queue_declare(name, durable=True, arguments=QUORUM)
        await one.exchange_declare(name, exchange_type="fanout", auto_delete=True)
        await one.queue_bind(name, name)
        await one.queue_delete(name)
        await one.queue_declare(name, durable=True, arguments=QUORUM)
        seen = await error_of(one.exchange_declare(name, passive=True))
    async with channel(url) as one:
        await one.queue_delete(name)
    return seen


async def deleted_while_consumed(url: str, name: str) -> Any:
    """Consumers of a deleted queue are told; what they have not settled is gone."""
    got: list[str] = []
    cancelled: list[str | None] = []
    async with channel(url) as one, channel(url) as other:
        await one.queue_declare(name, durable=True, arguments=QUORUM)
        await one.basic_qos(prefetch_count=1)

        async def take(message: DeliveredMessage) -> None:
            got.append(message.body.decode())

        one.on_consumer_cancel_callbacks.add(lambda frame: cancelled.append(frame.consumer_tag))
        await one.basic_consume(name, take, consumer_tag="tag")
        for body in (b"1", b"2"):
            await other.basic_publish(body, routing_key=name)
        await eventually(lambda: got, PATIENCE_S)
        deleted = await other.queue_delete(name)
        await eventually(lambda: cancelled, PATIENCE_S)
        await other.queue_declare(name, durable=True, arguments=QUORUM)
        left = await bodies(other, name, 0)
        await other.queue_delete(name)
    return got, cancelled, deleted.message_count, left


async def deleted_with_conditions(url: str, name: str) -> Any:
    """A queue that is used, or not empty; quorum queues know no such conditions, and the connection is closed."""
    seen: list[Any] = []
    kinds: tuple[dict[str, Any], ...] = ({}, QUORUM)
    for arguments in kinds:
        async with channel(url) as one:
            await one.queue_declare(name, durable=True, arguments=arguments)
            await one.basic_publish(b"1", routing_key=name)
            await one.basic_qos(prefetch_count=1)
            await one.basic_consume(name, _ignore)
            for condition in ("if_unused", "if_empty"):
                async with channel(url) as other:
                    error = await error_of(other.queue_delete(name, **{condition: True}))
                    seen.append(error.partition(" -")[0])
            await one.queue_delete(name)
    return seen


async def without_acknowledgement(url: str, name: str) -> Any:
    """A consumer that acknowledges nothing gets everything at once."""
    got: list[str] = []
    async with channel(url) as one:
        await one.queue_declare(name, durable=True, arguments=QUORUM)
        for number in range(20):
            await one.basic_publish(b"%d" % number, routing_key=name)

        async def take(message: DeliveredMessage) -> None:
            got.append(message.body.decode())

        await one.basic_qos(prefetch_count=2)
        await one.basic_consume(name, take, no_ack=True)
        await eventually(lambda: len(got) == 20, PATIENCE_S)
        left = (await one.queue_declare(name, passive=True)).message_count
        await one.queue_delete(name)
    return got, left


async def shared_by_consumers(url: str, name: str) -> Any:
    """Two consumers share a queue, as their prefetch allows; what one returns by leaving, the other gets."""
    got: list[tuple[str, int]] = []
    async with channel(url) as leaving, channel(url) as staying:
        await staying.queue_declare(name, durable=True, arguments=QUORUM)
        for owner, prefetch in ((leaving, 2), (staying, 3)):
            await owner.basic_qos(prefetch_count=prefetch)

            async def take(message: DeliveredMessage, prefetch: int = prefetch) -> None:
                got.append((message.body.decode(), prefetch))

            await owner.basic_consume(name, take)
        for number in range(5):
            await staying.basic_publish(b"%d" % number, routing_key=name)
        await eventually(lambda: len(got) == 5, PATIENCE_S)
        shares = sorted(prefetch for _, prefetch in got)
        everything = sorted(body for body, _ in got)
        await leaving.close()
        ready = await _ready(staying, name, 2)
        await staying.queue_delete(name)
    return shares, everything, ready


async def dead_letters_of_a_policy(url: str, name: str) -> Any:
    """With the policy of the jobs' queues, a rejected message is kept until a queue takes it."""
    job, dead = f"worker.{name}", f"{name}.dead"
    async with channel(url) as one:
        await one.exchange_declare(dead, exchange_type="topic", durable=True)
        await one.queue_declare(job, durable=True, arguments={"x-queue-type": "quorum", "x-dead-letter-exchange": dead})
        await one.queue_declare(dead, durable=True, arguments=QUORUM)
        await one.queue_bind(dead, dead, "#")
        await one.basic_publish(b"body", routing_key=job, properties=PERSISTENT)
        message = await one.basic_get(job)
        await one.basic_reject(message.delivery_tag or 0, requeue=False)
        ready = await _ready(one, dead, 1)
        letter = await one.basic_get(dead, no_ack=True)
        headers: Any = letter.header.properties.headers
        death = {key: value for key, value in headers["x-death"][0].items() if key != "time"}
        await one.queue_delete(job)
        await one.queue_delete(dead)
        await one.exchange_delete(dead)
    return ready, letter.body, letter.routing_key, death, letter.exchange


async def wrong_credentials(url: str, name: str) -> Any:
    """A client with another password, or for another virtual host, is refused."""

    async def connect(other: str) -> None:
        async with aiormq.connect(other):
            pass

    password = await error_of(connect(url.replace("guest:guest", "guest:wrong")))
    vhost = await error_of(connect(url + name))
    return password.partition(":")[0], vhost.partition(":")[0]


async def _ready(channel: AbstractChannel, queue: str, count: int) -> int:
    async def there() -> bool:
        return (await channel.queue_declare(queue, passive=True)).message_count == count

    await eventually(there, PATIENCE_S)
    return count


async def _ignore(message: DeliveredMessage) -> None:
    pass


SCENARIOS: tuple[Scenario, ...] = (
    missing,
    declared_differently,
    refused,
    routing,
    returned,
    many_confirms,
    contents,
    exclusive,
    auto_delete,
    witness,
    deleted_while_consumed,
    deleted_with_conditions,
    without_acknowledgement,
    shared_by_consumers,
    dead_letters_of_a_policy,
    wrong_credentials,
)
