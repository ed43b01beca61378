"""A process whose node of RabbitMQ or host of Postgres is gone goes on with another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy as sa
from aio_pika.abc import AbstractChannel, AbstractConnection

from services.gateway.live.feed import LiveFeed
from services.worker.broker.rabbitmq import connected
from shared.clock import now
from shared.contracts import events, topology
from shared.db.engine import Database
from shared.outbox import outbox
from shared.outbox.relay import ProducerSettings, Relay
from shared.rabbitmq import LOST, Nodes
from shared.server.background import Background
from tests.support.backends import RabbitBackend
from tests.support.link import Link
from tests.support.patience import PATIENCE_S
from tests.support.waiting import eventually

NOBODY = "127.0.0.1:1"


class Hasty(Relay):
    PUBLISH_TIMEOUT_S = PATIENCE_S
    RECONNECT_S = 0.05


@asynccontextmanager
async def two_ways(url: str) -> AsyncIterator[tuple[Link, Link]]:
    async with Link.to(url) as one, Link.to(url) as other:
        yield one, other


async def test_the_relay_goes_on_with_another_node(
    rabbitmq: RabbitBackend, channel: AbstractChannel, db: Database
) -> None:
    """Whichever node is lost, events are published through the other."""
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(topology.EVENTS, "#")
    async with two_ways(rabbitmq.url) as links, Background(pytest.fail) as background:
        background.start("relay", Hasty(db, ",".join(link.url for link in links), "users").run)
        for gone in (None, *links):
            if gone:
                await gone.cut()
            user_id = uuid4()
            async with db.begin() as session:
                await outbox.add(session, events.UserDeleted(user_id=user_id, revision=1, deleted_at=now()))
            async with asyncio.timeout(120), queue.iterator(no_ack=True) as messages:
                async for message in messages:
                    if message.headers["subject"] == str(user_id):
                        break
            if gone:
                await gone.mend()


async def test_the_live_feed_goes_on_with_another_node(rabbitmq: RabbitBackend) -> None:
    """Whichever node is lost, the feed comes again without it."""
    async with two_ways(rabbitmq.url) as links, Background(pytest.fail) as background:
        feed = LiveFeed(",".join(link.url for link in links), (), reconnect_s=0.05)
        background.start("feed", feed.run)
        await eventually(lambda: feed.connected)
        for gone in links:
            await gone.cut()
            await eventually(lambda: feed.connected)
            await gone.mend()


async def test_the_workers_connection_comes_back_at_another_node(rabbitmq: RabbitBackend) -> None:
    """aio-pika restores what it had, and does so where somebody answers."""
    async with two_ways(rabbitmq.url) as links:
        nodes = Nodes(",".join(link.url for link in links))
        async with connected(nodes, 0.05) as connection:
            for gone in links:
                await gone.cut()
                await eventually(lambda: _works(connection), within=120)
                await gone.mend()


async def test_a_host_that_is_gone_is_passed_over(database_url: str) -> None:
    """Both ways to the database find the host that is there."""
    settings = ProducerSettings(environment="development", database_url=_also(database_url), rabbitmq_url="amqp://no")
    async with Database.open(settings) as db:
        await db.ping()
        async with db.begin() as session:
            assert await session.scalar(sa.text("SELECT 1")) == 1


async def test_a_standby_is_not_taken_for_the_primary(database_url: str) -> None:
    """Where the URL asks for a standby and there is none, nobody is connected to, and that is an outage."""
    url = f"{_also(database_url)}?target_session_attrs=standby"
    settings = ProducerSettings(environment="development", database_url=url, rabbitmq_url="amqp://no")
    async with Database.open(settings) as db:
        with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
            await db.ping()


async def _works(connection: AbstractConnection) -> bool:
    try:
        async with asyncio.timeout(5), connection.channel() as channel:
            await channel.declare_queue(exclusive=True)
    except LOST:
        return False
    return True


def _also(url: str) -> str:
    return url.replace("@", f"@{NOBODY},")
