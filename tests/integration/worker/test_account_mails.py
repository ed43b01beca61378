"""Mails about accounts, with a users service, a broker, a worker and a mail server."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI

from services.worker.settings import Settings
from shared.clock import now
from shared.contracts.tasks import SendSecurityNotice
from shared.db.engine import Database
from tests.support.backends.databases import NewDatabase
from tests.support.backends.smtp import Received, SmtpServer
from tests.support.served import listening
from tests.support.spans import recorded
from tests.support.users import PASSWORD, Gateway, Person, serving
from tests.support.users import settings_for as users_settings
from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S, World, created, registered, settings_for, working

LINK = re.compile(r"http://127\.0\.0\.1:8000/#/(verify|reset)\?token=([\w-]+)")
NOWHERE = "http://127.0.0.1:1"


@dataclass
class Town:
    """A users service and a worker that know each other."""

    users: FastAPI
    gateway: Gateway
    worker: World
    smtp: SmtpServer

    @property
    def users_db(self) -> Database:
        db: Database = self.users.state.db
        return db

    def mails(self, email: str) -> list[Received]:
        return [mail for mail in self.smtp.messages if email in mail.recipients]

    async def mail(self, email: str, number: int = 1) -> Received:
        """Return a mail to that address, when it has arrived. The first is number 1."""
        await eventually(lambda: len(self.mails(email)) >= number, LONG_S)
        return self.mails(email)[number - 1]

    async def token(self, email: str, number: int = 1) -> str:
        """Return the token in that mail."""
        return tokens_in(await self.mail(email, number))[0]

    async def verified(self) -> Person:
        """Return a signed-in person who has verified the address with the link of the mail."""
        person = await self.gateway.newcomer()
        (await self.gateway.use(await self.token(person.email), person)).raise_for_status()
        return person

    async def jobs(self, user_id: UUID, job: str) -> list[Any]:
        find = "SELECT * FROM jobs WHERE user_id = $1 AND job = $2 ORDER BY event_id"
        return await self.worker.fetch(find, user_id, job)

    async def until_ended(self, user_id: UUID, job: str, *states: str) -> list[Any]:
        """Return the jobs of a user, when they have these states, oldest first."""

        async def ended() -> bool:
            return [row["state"] for row in await self.jobs(user_id, job)] == list(states)

        await eventually(ended, LONG_S)
        return await self.jobs(user_id, job)


def tokens_in(mail: Received) -> list[str]:
    """Return the token of a mail: the same in its text and its HTML."""
    text, html = (part.get_content() for part in mail.message.iter_parts())
    found = {match[2] for part in (text, html) for match in LINK.finditer(part)}
    assert len(found) == 1, text
    return list(found)


@pytest.fixture(scope="module")
def mail_server() -> Any:
    server = SmtpServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def smtp(mail_server: SmtpServer) -> SmtpServer:
    """The server of this file, as new."""
    mail_server.reset()
    mail_server.hang_up()
    return mail_server


@pytest.fixture(scope="module")
async def shared_town(new_database: NewDatabase, vhosts: Any, mail_server: SmtpServer) -> AsyncIterator[Town]:
    vhost = await asyncio.to_thread(vhosts.take)
    async with AsyncExitStack() as stack:
        given = users_settings(new_database("users"), vhost)
        app, gateway = await stack.enter_async_context(serving(given))
        port = await stack.enter_async_context(listening(app))
        more = {"users_url": f"http://127.0.0.1:{port}", "smtp_url": mail_server.url}
        world = await stack.enter_async_context(working(settings_for(new_database("worker"), vhost, **more)))
        await world.until_ready()
        yield Town(app, gateway, world, mail_server)


@pytest.fixture
def town(shared_town: Town, smtp: SmtpServer) -> Town:
    """The services that the tests share, each with accounts of its own."""
    assert smtp is shared_town.smtp
    return shared_town


async def test_a_registration_sends_one_link_which_verifies_the_address(town: Town) -> None:
    """The mail contains no word of the account, so that nobody sends their own words to a stranger."""
    person = await town.gateway.register(name="Buy cheap pills at evil.example")
    mail = await town.mail(person.email)
    assert str(mail.message["Subject"]) == "Verify your address"
    assert "pills" not in mail.message.as_string()
    assert (await town.gateway.use(await town.token(person.email))).status_code == 204
    [job] = await town.until_ended(person.id, "account-email", "done")
    assert job["event_type"] == "task.send_address_verification"
    assert len(town.mails(person.email)) == 1


async def test_mail_to_an_address_that_is_not_verified_is_suppressed(town: Town) -> None:
    """The operator sees why. After the verification, the next order is confirmed; the earlier one stays suppressed."""
    person = await town.gateway.register(name="Ann")
    token = await town.token(person.email)
    await town.worker.publish(*(created(person.id) for _ in range(3)))
    rows = await town.until_ended(person.id, "email", *["suppressed"] * 3)
    assert {row["last_error"] for row in rows} == {"the address is not verified"}
    assert (await town.gateway.use(token)).status_code == 204
    [event_id] = await town.worker.publish(created(person.id))
    await town.worker.until(event_id, email="done")
    assert [str(mail.message["Subject"])[:10] for mail in town.mails(person.email)] == ["Verify you", "Your order"]
    states = await town.worker.fetch("SELECT state, count(*) FROM mails WHERE user_id = $1 GROUP BY 1", person.id)
    assert {row[0]: row[1] for row in states} == {"sent": 2, "withdrawn": 3}


async def test_an_order_that_overtakes_the_verification_is_confirmed(town: Town) -> None:
    """The worker does not know of it yet, and asks."""
    person = await town.verified()
    await town.until_ended(person.id, "recipients", "done", "done")
    outdated = "UPDATE recipients SET verified = false WHERE user_id = $1"
    await town.worker.fetch(outdated, person.id)
    [event_id] = await town.worker.publish(created(person.id))
    await town.worker.until(event_id, email="done")
    assert [str(mail.message["Subject"])[:10] for mail in town.mails(person.email)][-1] == "Your order"


async def test_no_event_row_log_line_or_span_contains_a_token(town: Town, capfd: pytest.CaptureFixture[str]) -> None:
    """All tables of both databases, and the output and spans of both services, after each kind of link was sent, used,
    used twice, and rejected by a mail server that quotes it."""
    with recorded(share=1) as spans:
        person, new = await town.gateway.newcomer(), f"{uuid4().hex}@example.com"
        tokens = [await town.token(person.email)]
        assert (await town.gateway.use(tokens[0], person)).status_code == 204
        assert (await town.gateway.use(tokens[0])).status_code == 422
        change = {"email": new, "current_password": PASSWORD}
        (await town.gateway.call(person, "PATCH", "/v1/me", json=change)).raise_for_status()
        tokens.append(await town.token(new))
        town.smtp.manner = "quote"
        await town.gateway.http.post("/v1/password-resets", json={"email": person.email})
        rows = await town.until_ended(person.id, "account-email", "done", "done", "dead")
        assert "<confidential>" in rows[-1]["last_error"]
        assert (await town.worker.mail(rows[-1]["event_id"]))["server_reply"].startswith("550 5.7.1 this link")
        tokens += town.smtp.quoted
        assert len(tokens) == 3
    printed = capfd.readouterr()
    stored = await texts(town.users_db) + await texts(town.worker.app.state.db)
    said = " ".join(f"{span.name} {span.attributes} {span.error}" for span in spans)
    assert person.email in stored
    assert {"send mail", "POST /internal/mail-links", "postgresql"} <= {span.name for span in spans}
    for token in tokens:
        assert token not in stored
        assert token not in said
        assert token.lower() not in (printed.out + printed.err).lower()


async def texts(db: Database) -> str:
    """Return all rows of all tables."""
    find = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    async with db.connection() as connection:
        tables = [row[0] for row in await connection.fetch(find)]
        rows = [row[0] for table in tables for row in await connection.fetch(f"SELECT t::text FROM {table} AS t")]
        kept = await connection.fetch("SELECT convert_from(payload, 'UTF8') FROM jobs") if "jobs" in tables else []
    return "\n".join([*rows, *(row[0] or "" for row in kept)])


async def test_ten_resets_at_once_send_one_mail(town: Town) -> None:
    """Its link sets the password, and a notice follows."""
    person = await town.verified()
    body = {"email": person.email}
    answers = await asyncio.gather(*(town.gateway.http.post("/v1/password-resets", json=body) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    token = await town.token(person.email, 2)
    reset = {"token": token, "password": "another horse battery"}
    (await town.gateway.http.post("/v1/password-resets/confirm", json=reset)).raise_for_status()
    notice = await town.mail(person.email, 3)
    assert str(notice.message["Subject"]) == "Your password has been reset"
    await town.until_ended(person.id, "account-email", "done", "done", "done")
    assert len(town.mails(person.email)) == 3


async def test_a_changed_address_is_confirmed_at_the_new_one_and_told_to_the_old_one(town: Town) -> None:
    person, new = await town.verified(), f"{uuid4().hex}@example.com"
    change = {"email": new, "current_password": PASSWORD}
    (await town.gateway.call(person, "PATCH", "/v1/me", json=change)).raise_for_status()
    assert (await town.gateway.use(await town.token(new))).status_code == 204
    subjects = [str((await town.mail(person.email, number)).message["Subject"]) for number in (1, 2)]
    assert subjects == ["Verify your address", "The address of your account has changed"]
    [event_id] = await town.worker.publish(created(person.id))
    await town.until_ended(person.id, "recipients", "done", "done", "done")
    await town.worker.until(event_id, email="done")
    assert len(town.mails(new)) == 2


async def test_a_mail_that_was_perhaps_sent_is_sent_again_with_a_link_of_its_own(town: Town) -> None:
    """Both have the same Message-ID, and whichever arrives verifies the address, once."""
    town.smtp.hang_ups = {"answer": 1}
    person = await town.gateway.register()
    tokens = [await town.token(person.email, number) for number in (1, 2)]
    assert len({mail.message_id for mail in town.mails(person.email)}) == 1
    assert len(set(tokens)) == 2
    assert [(await town.gateway.use(token)).status_code for token in tokens] == [204, 422]


async def test_a_link_that_is_not_wanted_any_more_is_not_sent(town: Town) -> None:
    """An address that was verified meanwhile, by an operator, gets no second mail."""
    await town.worker.http.post("/v1/admin/jobs/account-email/pause", headers=as_admin())
    try:
        person = await town.gateway.register()

        async def has_arrived() -> bool:
            return bool(await town.jobs(person.id, "account-email"))

        await eventually(has_arrived, LONG_S)
        await town.gateway.call(person.having("admin"), "POST", f"/v1/admin/users/{person.id}/verify")
    finally:
        await town.worker.http.post("/v1/admin/jobs/account-email/resume", headers=as_admin())
    [job] = await town.until_ended(person.id, "account-email", "suppressed")
    assert job["last_error"] == "the link is no longer wanted"
    assert town.mails(person.email) == []


def as_admin() -> dict[str, str]:
    return Person(uuid4(), "", "admin").headers


async def test_a_notice_to_an_address_that_was_not_verified_is_suppressed(town: Town) -> None:
    user_id, email = uuid4(), f"{uuid4().hex}@example.com"
    notice = SendSecurityNotice(user_id=user_id, email=email, notice="password_changed", at=now(), verified=False)
    [event_id] = await town.worker.publish(notice)
    await town.worker.until(event_id, LONG_S, **{"account-email": "suppressed"})
    assert town.mails(email) == []


async def test_a_notice_that_this_version_does_not_know_is_kept(town: Town) -> None:
    """It is dead, with its message, until a version that knows it replays it."""
    notice = SendSecurityNotice(user_id=uuid4(), email="ada@example.com", notice="later", at=now())
    [event_id] = await town.worker.publish(notice)
    await town.worker.until(event_id, LONG_S, **{"account-email": "dead"})
    assert (await town.worker.job("account-email", event_id))["last_error"] == "UnknownNotice: later"


@pytest.mark.full
async def test_while_the_users_service_is_away_mails_wait(
    new_database: NewDatabase, vhost_url: str, smtp: SmtpServer, settings: Settings
) -> None:
    """Mails with links, and those to addresses that may be verified meanwhile. Others are sent. The error names the
    users service, not the mail server."""
    given = users_settings(new_database("users"), vhost_url)
    async with serving(given) as (app, gateway), listening(app) as port:
        person = await gateway.register()
        database = {"smtp_url": smtp.url}
        async with working(settings.model_copy(update=database | {"users_url": NOWHERE})) as world:
            [late] = await world.publish(created(person.id))
            [event_id] = await world.publish(created(await world.known()))
            await world.until(event_id, email="done")
            [link] = [row["event_id"] for row in await jobs_of(world, person)]
            for job, waiting in (("email", late), ("account-email", link)):

                async def names_the_service(job: str = job, waiting: UUID = waiting) -> bool:
                    error = str((await world.job(job, waiting))["last_error"])
                    return error.startswith("UsersAway: the users service does not respond")

                await eventually(names_the_service, LONG_S)
        await gateway.verified(person)
        async with working(settings.model_copy(update=database | {"users_url": f"http://127.0.0.1:{port}"})) as world:
            await world.fetch("UPDATE jobs SET next_attempt_at = now() WHERE state = 'retrying'")
            await world.until(late, email="done")
            await world.until(link, LONG_S, **{"account-email": "suppressed"})
    assert [mail.recipients[0] for mail in smtp.messages].count(person.email) == 1


async def jobs_of(world: World, person: Person) -> list[Any]:
    rows: list[Any] = []

    async def arrived() -> bool:
        find = "SELECT event_id FROM jobs WHERE user_id = $1 AND job = 'account-email'"
        rows[:] = await world.fetch(find, person.id)
        return bool(rows)

    await eventually(arrived, LONG_S)
    return rows


async def test_an_event_from_before_addresses_were_verified_counts_as_verified(town: Town) -> None:
    """An account of the previous version gets its mails."""
    user = registered()
    await town.worker.publish(user)
    [event_id] = await town.worker.publish(created(user.user_id))
    await town.worker.until(event_id, email="done")
    assert len(town.mails(user.email)) == 1


async def test_a_proved_owner_disables_earlier_webhooks(town: Town) -> None:
    """Those that were registered afterwards stay."""
    person = await town.gateway.newcomer()
    token = await town.token(person.email)
    hook = {"url": "http://127.0.0.1:9/hook", "events": ["order.created"]}
    insert = """
        INSERT INTO webhooks (user_id, id, url, lane, events, secret, created_at)
        VALUES ($1, gen_random_uuid(), $2, 'x', '{order.created}', '', now() + $3 * interval '1 minute')
    """
    for minutes in (-5, 0, 5):
        await town.worker.fetch(insert, person.id, hook["url"], minutes)
    assert (await town.gateway.use(token, person)).status_code == 204
    await town.until_ended(person.id, "revoke-webhooks", "done")
    find = "SELECT enabled, disabled_reason FROM webhooks WHERE user_id = $1 ORDER BY created_at"
    rows = [tuple(row) for row in await town.worker.fetch(find, person.id)]
    assert rows == [(False, "revoked"), (False, "revoked"), (True, None)]
    answer = await town.worker.http.get("/v1/webhooks", headers=person.headers)
    reasons = [item["disabled_reason"] for item in answer.raise_for_status().json()["items"]]
    assert sorted(map(str, reasons)) == ["None", "revoked", "revoked"]
