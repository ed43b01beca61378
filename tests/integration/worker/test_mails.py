"""Which mails can be ended by their recipient, and what a job may say about it."""

from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.worker.email.kinds import OTHER, SECURITY, MailKind
from services.worker.email.messages import Template
from services.worker.email.notification_settings import store
from services.worker.email.sending import Mails, MailSwitchedOff, Sending
from services.worker.email.smtp import Mailer
from services.worker.email.unsubscribe import UnsubscribeLinks
from shared.clock import now
from shared.contracts.events import Envelope
from shared.contracts.tasks import NOBODY
from shared.db.engine import Connection, Database
from shared.ids import new_id
from tests.support.worker.ledgers import WriteNote
from tests.support.worker.world import World

PLAIN = Template("Hello", "The whole mail.\n")
NOTICE = Template("Hello", "the content", kind=SECURITY)
LINKS = UnsubscribeLinks("https://dashboard.example.com", "s" * 32)


@pytest.fixture
async def connection(world: World) -> AsyncIterator[Connection]:
    """A transaction that leaves nothing."""
    async with Database.open(world.settings) as db, db.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield connection
        await transaction.rollback()


def mails(world: World, connection: Connection, user_id: UUID, links: UnsubscribeLinks = LINKS) -> Mails:
    """Those of one task that concerns this user."""
    envelope = Envelope(id=new_id(), time=now(), event=WriteNote(user_id=user_id))
    settings: Any = world.settings
    users: Any = None  # asked for addresses that are not verified, and for links
    return Mails(Mailer(settings), settings.mail_from, 30, links, connection, envelope, users)


def link_of(sending: Sending | None, user_id: UUID, kind: MailKind) -> bool:
    """Return whether the mail has the link, or fail if it has another one."""
    assert sending
    message = message_from_bytes(sending.mail.content, policy=policy.default)
    assert message["List-Unsubscribe"] in (None, f"<{LINKS.url(user_id, kind)}>")
    assert (message["List-Unsubscribe"] is None) == (message["List-Unsubscribe-Post"] is None)
    return message["List-Unsubscribe"] is not None


async def test_a_mail_without_a_kind(world: World, connection: Connection) -> None:
    """It belongs to `other`, and can be switched off like the rest."""
    user_id = await world.known()
    assert link_of(await mails(world, connection, user_id).to_user(user_id, PLAIN), user_id, OTHER)
    await store(connection, user_id, {"other": False})
    with pytest.raises(MailSwitchedOff, match="other"):
        await mails(world, connection, user_id).to_user(user_id, PLAIN)


async def test_a_mail_without_the_address_of_the_page(world: World, connection: Connection) -> None:
    """It has no link, which would lead nowhere, and can still be switched off."""
    user_id = await world.known()
    unknown = UnsubscribeLinks("", "s" * 32)
    assert not link_of(await mails(world, connection, user_id, unknown).to_user(user_id, PLAIN), user_id, OTHER)
    await store(connection, user_id, {"other": False})
    with pytest.raises(MailSwitchedOff):
        await mails(world, connection, user_id, unknown).to_user(user_id, PLAIN)


async def test_a_mail_to_an_address(world: World, connection: Connection) -> None:
    """The link is for the user whom its task concerns, who need not be a user of the dashboard; without one it has
    none."""
    user_id = uuid4()
    to = "accounting@example.com"
    assert link_of(await mails(world, connection, user_id).to_address(to, PLAIN), user_id, OTHER)
    assert not link_of(await mails(world, connection, NOBODY).to_address(to, PLAIN), NOBODY, OTHER)
    await store(connection, user_id, {"other": False})
    with pytest.raises(MailSwitchedOff):
        await mails(world, connection, user_id).to_address(to, PLAIN)


async def test_a_notice_about_the_account(world: World, connection: Connection) -> None:
    """It has no link, and is sent whatever the settings contain."""
    user_id = await world.known()
    await store(connection, user_id, {"security": False, "other": False})
    assert not link_of(await mails(world, connection, user_id).to_user(user_id, NOTICE), user_id, SECURITY)


@pytest.mark.parametrize(
    ("state", "lease", "after"),
    [
        ("sending", None, "withdrawn"),
        ("sending", "now() - interval '1 second'", "uncertain"),
        ("sending", "now() + interval '1 hour'", "sending"),
        ("uncertain", None, "uncertain"),
        ("sent", None, "sent"),
    ],
)
async def test_the_record_of_a_mail_that_is_not_sent_any_more(
    world: World, connection: Connection, state: str, lease: str | None, after: str
) -> None:
    """A mail that may have been sent stays uncertain, and one that another worker is sending stays as it is."""
    user_id = await world.known()
    one = mails(world, connection, user_id)
    await one.to_user(user_id, PLAIN)
    update = f"UPDATE mails SET state = $2, lease_until = {lease or 'NULL'} WHERE event_id = $1"
    await connection.execute(update, one.envelope.id, state)
    await store(connection, user_id, {"other": False})
    with pytest.raises(MailSwitchedOff):
        await one.to_user(user_id, PLAIN)
    assert await connection.fetchval("SELECT state FROM mails WHERE event_id = $1", one.envelope.id) == after
