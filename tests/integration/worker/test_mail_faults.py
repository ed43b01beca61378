"""What becomes of a mail when the mail server is not well."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from services.worker.settings import Settings
from tests.support.backends.databases import NewDatabase
from tests.support.backends.smtp import Manner, Point, SmtpServer
from tests.support.backends.vhosts import Vhosts
from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S, World, created, settings_for, working


@pytest.fixture(scope="module")
def mail_server() -> Iterator[SmtpServer]:
    server = SmtpServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def smtp(mail_server: SmtpServer) -> SmtpServer:
    """The server of this file, as new: with good manners, and without connections."""
    mail_server.reset()
    mail_server.hang_up()
    mail_server.connections = 0
    return mail_server


@pytest.fixture(scope="module")
async def mailing(new_database: NewDatabase, vhosts: Vhosts, mail_server: SmtpServer) -> AsyncIterator[World]:
    """The worker that most of these tests share: each with a user of its own, and one mail at a time."""
    settings = settings_for(new_database("worker"), await asyncio.to_thread(vhosts.take), smtp_url=mail_server.url)
    async with working(settings.model_copy(update={"smtp_connections": 1})) as world:
        await world.until_ready()
        yield world


async def test_a_refused_connection_is_tried_again(mailing: World, smtp: SmtpServer) -> None:
    """While nobody listens the mail waits in the ledger, and is sent once when the server is back."""
    user_id = await mailing.known()
    smtp.refuse()
    [event_id] = await mailing.publish(created(user_id))
    row = await mailing.until_failed("email", event_id)
    assert row["error_group"] == "MailServerAway in services.worker.email.sending:Sending.run"
    assert (await mailing.ready()).json()["status"] == "degraded"
    smtp.accept_again()
    await mailing.until(event_id, email="done")
    assert len(smtp.messages) == 1
    assert (await mailing.job("email", event_id))["attempts"] > 1


@pytest.mark.full
async def test_a_host_without_address_is_tried_again(settings: Settings) -> None:
    """A name that DNS does not know today may be known tomorrow."""
    async with working(settings.model_copy(update={"smtp_url": "smtp://mail.invalid"})) as world:
        [event_id] = await world.publish(created(await world.known()))
        row = await world.until_failed("email", event_id)
        assert row["last_error"].startswith("MailServerAway")


async def test_a_deferred_mail_is_tried_again(mailing: World, smtp: SmtpServer) -> None:
    """A 4xx answer is not the end, and no doubt: the mail is certainly not sent yet."""
    user_id = await mailing.known()
    smtp.manner = "defer"
    [event_id] = await mailing.publish(created(user_id))
    assert (await mailing.until_failed("email", event_id))["last_error"].startswith("MailDeferred: 451")
    mail = await mailing.mail(event_id)
    assert (mail["state"], mail["lease_until"], mail["server_reply"]) == ("sending", None, "451 4.3.2 try again later")
    smtp.manner = "accept"
    await mailing.until(event_id, email="done")
    assert len(smtp.messages) == 1
    assert ((mail := await mailing.mail(event_id))["state"], mail["uncertain_attempts"]) == ("sent", 0)


async def test_a_rejected_mail_is_dead(mailing: World, smtp: SmtpServer) -> None:
    """A 5xx answer to this mail ends it at once, and the message is kept."""
    user_id = await mailing.known()
    smtp.manner = "reject"
    order = created(user_id)
    [event_id] = await mailing.publish(order)
    await mailing.until(event_id, email="dead")
    row = await mailing.job("email", event_id)
    assert (row["attempts"], row["next_attempt_at"]) == (1, None)
    assert row["last_error"].startswith("MailRefused: 550")
    assert str(order.order_id).encode() in row["payload"]
    mail = await mailing.mail(event_id)
    assert (mail["state"], mail["server_reply"]) == ("rejected", "550 5.7.1 not wanted")


async def test_a_rejected_recipient_is_dead(mailing: World, smtp: SmtpServer) -> None:
    """A mailbox that does not exist will not exist later; what the server says of it is kept without the address."""
    user_id = await mailing.known()
    smtp.rejected_recipients.add(f"{user_id.hex}@example.com")
    [event_id] = await mailing.publish(created(user_id))
    await mailing.until(event_id, email="dead")
    assert (await mailing.mail(event_id))["server_reply"] == "550 5.1.1 <<recipient>>: no such mailbox"
    assert user_id.hex not in (await mailing.job("email", event_id))["last_error"]


async def test_one_refusal_does_not_spoil_the_connection(mailing: World, smtp: SmtpServer) -> None:
    """After a refused recipient the connection is reset, and carries the next mail."""
    refused, welcome = await mailing.known(), await mailing.known()
    smtp.rejected_recipients.add(f"{refused.hex}@example.com")
    [before] = await mailing.publish(created(welcome))
    await mailing.until(before, email="done")
    [dead] = await mailing.publish(created(refused))
    await mailing.until(dead, email="dead")
    [after] = await mailing.publish(created(welcome))
    await mailing.until(after, email="done")
    assert len(smtp.messages) == 2
    assert len({mail.connection for mail in smtp.messages}) == 1


@pytest.mark.full
@pytest.mark.parametrize(
    ("manner", "limit", "error"),
    [
        ("hang", "smtp_answer_timeout_s", "MailUncertain: SMTPReadTimeoutError"),
        ("hang", "smtp_send_timeout_s", "MailUncertain: TimeoutError"),
        ("hang after data", "smtp_answer_timeout_s", "MailUncertain: SMTPReadTimeoutError"),
    ],
)
async def test_a_server_that_hangs_is_given_up(
    settings: Settings, smtp: SmtpServer, manner: Manner, limit: str, error: str
) -> None:
    """Each named timeout ends the wait for the answer; whether the mail was sent is then uncertain."""
    brief = {limit: 0.5, "smtp_url": smtp.url}
    async with working(settings.model_copy(update=brief)) as world:
        user_id = await world.known()
        smtp.manner = manner
        [event_id] = await world.publish(created(user_id))

        async def uncertain() -> bool:
            """Not always at once: an attempt that is slow may be given up before the content is there."""
            return str((await world.job("email", event_id))["last_error"]).startswith(error)

        await world.until(event_id, email="retrying")
        await eventually(uncertain, LONG_S)
        assert (await world.mail(event_id))["uncertain_attempts"] >= 1


@pytest.mark.parametrize(
    ("point", "connections", "doubts", "copies"),
    [
        ("greeting", 2, {0}, 1),
        pytest.param("EHLO", 2, {0}, 1, marks=pytest.mark.full),
        pytest.param("MAIL", 2, {0}, 1, marks=pytest.mark.full),
        pytest.param("RCPT", 2, {0}, 1, marks=pytest.mark.full),
        pytest.param("DATA", 2, {0}, 1, marks=pytest.mark.full),
        ("content", 2, {0, 1}, 1),
        ("answer", 2, {1}, 2),
    ],
)
async def test_a_connection_lost(
    mailing: World, smtp: SmtpServer, point: Point, connections: int, doubts: set[int], copies: int
) -> None:
    """Lost before the content was handed over, nothing was sent; after, it is sent again under the same Message-ID.

    Lost in the midst of the content, it is chance which of the two the client sees.
    """
    user_id = await mailing.known()
    smtp.hang_ups = {point: 1}
    [event_id] = await mailing.publish(created(user_id))
    await mailing.until(event_id, email="done")
    mail = await mailing.mail(event_id)
    assert (await mailing.job("email", event_id))["attempts"] == 2
    assert (mail["state"], mail["attempts"]) == ("sent", 2)
    assert mail["uncertain_attempts"] in doubts
    assert [received.message_id for received in smtp.messages] == [mail["message_id"]] * copies
    assert smtp.connections == connections


@pytest.mark.parametrize("point", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_kept_connection_that_breaks_costs_nothing(mailing: World, smtp: SmtpServer, point: Point) -> None:
    """Found dead before the content was handed over, it is replaced at once: one attempt, one mail."""
    user_id = await mailing.known()
    [first] = await mailing.publish(created(user_id))
    await mailing.until(first, email="done")
    if point == "EHLO":
        smtp.hang_up()
    else:
        smtp.hang_ups = {point: 1}
    [second] = await mailing.publish(created(user_id))
    await mailing.until(second, email="done")
    assert (await mailing.job("email", second))["attempts"] == 1
    assert (await mailing.mail(second))["uncertain_attempts"] == 0
    assert [mail.connection for mail in smtp.messages] == [1, 2]


async def test_doubts_come_to_an_end(mailing: World, smtp: SmtpServer) -> None:
    """A server that takes each mail and never says so gets it three times; then a person is asked."""
    smtp.hang_ups = {"answer": 100}
    [event_id] = await mailing.publish(created(await mailing.known()))
    await mailing.until(event_id, email="dead")
    assert (await mailing.job("email", event_id))["last_error"].startswith("MailLeftUncertain")
    assert ((mail := await mailing.mail(event_id))["state"], mail["uncertain_attempts"]) == ("uncertain", 3)
    assert len(smtp.messages) == 3
    assert len({mail.message_id for mail in smtp.messages}) == 1


async def test_a_name_that_no_header_can_hold_is_dead(mailing: World, smtp: SmtpServer) -> None:
    """A line break in a name makes no header of its own: the mail is not sent."""
    user_id = await mailing.known(name="Ada\r\nBcc: everyone@example.com")
    [event_id] = await mailing.publish(created(user_id))
    await mailing.until(event_id, email="dead")
    assert (await mailing.job("email", event_id))["last_error"].startswith("MailNotWritable")
    assert smtp.messages == []


@pytest.mark.parametrize("smtputf8", [True, False])
async def test_a_domain_beyond_ascii_is_written_in_ascii(mailing: World, smtp: SmtpServer, smtputf8: bool) -> None:
    """As A-labels (IDNA 2008), so that every mail server can carry it."""
    smtp.smtputf8 = smtputf8
    user_id = await mailing.known(email="kunde@straße.example.com", name="=?utf-8?q?=0D=0ABcc=3A_x=40evil.example?=")
    [event_id] = await mailing.publish(created(user_id))
    await mailing.until(event_id, email="done")
    [mail] = smtp.messages
    assert mail.recipients == ("kunde@xn--strae-oqa.example.com",)
    [to] = mail.message["To"].addresses
    assert (to.addr_spec, to.display_name) == (mail.recipients[0], "=?utf-8?q?=0D=0ABcc=3A_x=40evil.example?=")
    assert mail.message["Bcc"] is None


async def test_a_local_part_beyond_ascii_goes_where_it_can(mailing: World, smtp: SmtpServer) -> None:
    """Over SMTPUTF8 it is sent; without, the job is dead at once, and says why without the address."""
    user_id = await mailing.known(email="jörg@example.com")
    smtp.smtputf8 = False
    [event_id] = await mailing.publish(created(user_id))
    await mailing.until(event_id, email="dead")
    row = await mailing.job("email", event_id)
    assert (row["attempts"], row["next_attempt_at"]) == (1, None)
    assert row["last_error"].startswith("MailNotCarried: ")
    assert "SMTPUTF8" in row["last_error"]
    assert "jörg" not in row["last_error"]
    assert ((await mailing.mail(event_id))["state"], smtp.messages) == ("rejected", [])

    smtp.reset()
    smtp.hang_up()
    [event_id] = await mailing.publish(created(user_id))
    await mailing.until(event_id, email="done")
    [mail] = smtp.messages
    assert mail.recipients == ("jörg@example.com",)
    assert (await mailing.mail(event_id))["state"] == "sent"
