"""The servers of all other tests: deliberate faults, and the same address and data afterwards."""

import asyncio
import smtplib
from email.message import EmailMessage
from uuid import uuid4

import aio_pika
import asyncpg
import pytest
from redis.asyncio import Redis

from tests.support.backends import PostgresBackend, RabbitBackend, RedisBackend
from tests.support.backends.smtp import SmtpServer
from tests.support.waiting import eventually, wait_until
from tools.devstack.system.databases import execute, fetch

PATIENCE_S = 240.0
WRITE_DOWN = "catch mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()], ok."


def _name() -> str:
    return f"t_{uuid4().hex[:12]}"


def test_a_database_is_made_from_a_template(postgres: PostgresBackend) -> None:
    """A copy has the template's rows, and changes of the copy do not affect the template."""
    template, copy = _name(), _name()
    source = postgres.create_database(template)
    execute(source, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)")
    url = postgres.create_database(copy, template=template)
    execute(url, "INSERT INTO t VALUES (2)")
    assert [len(fetch(each, "SELECT * FROM t")) for each in (source, url)] == [1, 2]
    postgres.drop_database(copy)
    postgres.drop_database(template)


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_postgres_comes_back_with_its_data(postgres: PostgresBackend, fault: str) -> None:
    """Data that was committed before a kill or a stop is available at the same URL."""
    name = _name()
    url = postgres.create_database(name)
    execute(url, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)")
    getattr(postgres, fault)()
    with pytest.raises((OSError, asyncpg.PostgresError)):
        execute(url, "SELECT 1")
    postgres.start()
    assert fetch(url, "SELECT n FROM t")[0]["n"] == 1
    postgres.drop_database(name)


async def test_redis_comes_back_at_the_same_url(redis: RedisBackend) -> None:
    """A stopped Redis refuses connections; after the restart it has the same address."""
    async with Redis.from_url(redis.url) as client:
        await client.set("key", "value")
    await asyncio.to_thread(redis.restart)
    async with Redis.from_url(redis.url) as client:
        assert await client.get("key") == b"value"


async def _publish_durable(url: str, queue_name: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(queue_name, durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, queue_name)


async def _take(url: str, queue_name: str) -> bytes:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(queue_name)
        message = await queue.get(timeout=PATIENCE_S)
        await message.ack()
        return message.body


@pytest.mark.full
async def test_a_killed_rabbitmq_keeps_confirmed_messages(rabbitmq: RabbitBackend) -> None:
    """A message confirmed by a quorum queue that has been written to disk survives a SIGKILL of the node."""
    name = _name()
    await _publish_durable(rabbitmq.url, name)
    # RabbitMQ writes the metadata of a quorum queue with a delay (3.10 and 4.0 alike): killed before
    # that, the queue is listed but does not respond.
    await asyncio.to_thread(rabbitmq.rabbitmqctl, "eval", WRITE_DOWN)
    await asyncio.to_thread(rabbitmq.kill)
    await asyncio.to_thread(rabbitmq.start)
    assert await _take(rabbitmq.url, name) == b"kept"


async def test_job_queues_get_the_delivery_limit(rabbitmq: RabbitBackend) -> None:
    """The policy applies to every job's queue and not to dead letters."""
    await asyncio.to_thread(rabbitmq.reset)
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        for name in ("worker.email", "worker.dead"):
            await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
    listed = await asyncio.to_thread(rabbitmq.rabbitmqctl, "list_queues", "name", "policy", "--no-table-headers")
    assert "worker.email\tjobs" in listed
    assert "worker.dead\tjobs" not in listed
    await asyncio.to_thread(rabbitmq.reset)
    assert "worker" not in await asyncio.to_thread(rabbitmq.rabbitmqctl, "list_queues", "name")


async def test_connections_can_be_listed_and_closed(rabbitmq: RabbitBackend) -> None:
    """A test can disconnect every client, like a network fault."""
    connection = await aio_pika.connect(rabbitmq.url)
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())

    async def is_listed() -> bool:
        return len(await asyncio.to_thread(rabbitmq.connections)) == 1

    await eventually(is_listed, PATIENCE_S)
    await asyncio.to_thread(rabbitmq.close_connections)
    await asyncio.wait_for(closed.wait(), PATIENCE_S)


def _send(smtp: SmtpServer) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@example.com", "ada@example.com", "Grüße"
    mail.set_content("Hello")
    with smtplib.SMTP("127.0.0.1", smtp.port, timeout=PATIENCE_S) as client:
        client.send_message(mail)


def _give_up_on_data(smtp: SmtpServer) -> None:
    """Send mail with a client that waits long for all responses except the last."""
    with smtplib.SMTP("127.0.0.1", smtp.port, timeout=PATIENCE_S) as client:
        client.ehlo()
        client.mail("shop@example.com")
        client.rcpt("ada@example.com")
        assert client.sock is not None
        client.sock.settimeout(0.2)
        client.data(b"Hello")


def test_the_mail_server_keeps_what_it_accepts(smtp: SmtpServer) -> None:
    """An accepted mail can be read with its envelope."""
    _send(smtp)
    [received] = smtp.messages
    assert received.recipients == ("ada@example.com",)
    assert received.message["Subject"] == "Grüße"


@pytest.mark.parametrize(("manner", "code"), [("defer", 451), ("reject", 550)])
def test_the_mail_server_can_say_no(smtp: SmtpServer, manner: str, code: int) -> None:
    """Deferred and rejected mails are answered with their code and not stored."""
    setattr(smtp, "manner", manner)  # noqa: B010
    with pytest.raises(smtplib.SMTPDataError) as caught:
        _send(smtp)
    assert caught.value.smtp_code == code
    assert smtp.messages == []


def test_the_mail_server_can_hang_and_refuse(smtp: SmtpServer) -> None:
    """A hanging server causes the client's timeout, and a refusing one accepts no connections; both recover."""
    smtp.manner = "hang"
    with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
        _give_up_on_data(smtp)
    smtp.refuse()
    with pytest.raises(OSError, match="refused"):
        _send(smtp)
    smtp.accept_again()
    _send(smtp)
    wait_until(lambda: len(smtp.messages) == 1, PATIENCE_S)
