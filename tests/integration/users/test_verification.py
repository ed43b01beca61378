"""Verification of the address of a new account."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI

from services.users.accounts import mails, verification
from services.users.accounts.links import Token
from shared.contracts.internal_api import LINKS_PATH, Purpose
from shared.db.engine import Database
from tests.support.accounts import actions, let_pass, profile, revoked, tasks
from tests.support.backends.databases import NewDatabase
from tests.support.users import PASSWORD, Gateway, Person, serving, settings_for

VERIFY, RESEND, CONFIRM_RESET = (
    "/v1/email-verifications",
    "/v1/email-verifications/resend",
    "/v1/password-resets/confirm",
)
Spoil = Callable[[Gateway, Database, Person, str], Awaitable[str]]


async def test_a_registration_requests_one_mail_and_no_event_has_its_token(gateway: Gateway, db: Database) -> None:
    """The account is not verified, and the mail is a task without a link."""
    person = await gateway.register()
    assert await tasks(db, person) == [("address_verification", person.email)]
    assert (await gateway.address(person)).json() == {"email": person.email, "verified": False}
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM mail_tokens WHERE user_id = $1", person.id) == 0


async def test_a_link_verifies_the_address_once(gateway: Gateway, db: Database) -> None:
    """The link leads to the public page, with the token in the fragment. Only its hash is stored. The second use is
    refused, and so is every other link that was mailed for the same purpose."""
    person = await gateway.register()
    link = (await gateway.link(person)).json()
    assert link["url"].startswith("http://127.0.0.1:8000/#/verify?token=")
    assert link["valid_s"] == 24 * 3600
    token, other = link["url"].rpartition("=")[2], await gateway.token(person)
    async with db.connection() as connection:
        stored = await connection.fetch("SELECT * FROM mail_tokens WHERE user_id = $1", person.id)
    assert len(stored) == 2
    assert not any(token in str(row) or Token.parse(token).secret in row.values() for row in stored)  # type: ignore[union-attr]
    assert (await gateway.use(token)).status_code == 204
    assert (await profile(gateway, person))["email_verified"] is True
    for spent in (token, other):
        refused = await gateway.use(spent)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_link")
        assert refused.json()["errors"][0]["field"] == "token"
        assert spent not in refused.text
    assert await actions(gateway, person) == ["email_verified", "link_refused", "link_refused"]


async def test_two_at_once_use_a_token_once(gateway: Gateway) -> None:
    token = await gateway.token(await gateway.register())
    answers = await asyncio.gather(*(gateway.use(token) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [204] + [422] * 7


async def expired(_: Gateway, db: Database, person: Person, token: str) -> str:
    async with db.connection() as connection:
        await connection.execute("UPDATE mail_tokens SET expires_at = now() WHERE user_id = $1", person.id)
    return token


async def of_another_account(gateway: Gateway, _db: Database, _person: Person, token: str) -> str:
    other, given = await gateway.register(), Token.parse(token)
    assert given is not None
    return str(Token(other.id, given.secret))


async def for_another_purpose(gateway: Gateway, _db: Database, person: Person, _token: str) -> str:
    return await gateway.token(person, "reset")


async def of_a_deleted_account(gateway: Gateway, _db: Database, person: Person, token: str) -> str:
    deletion = {"current_password": PASSWORD}
    (await gateway.call(person, "DELETE", "/v1/me", json=deletion)).raise_for_status()
    return token


async def with_another_spelling(_: Gateway, _db: Database, _person: Person, token: str) -> str:
    return f"{token}="


async def never_issued(_: Gateway, _db: Database, person: Person, _token: str) -> str:
    return str(Token.new(person.id))


async def no_token(_: Gateway, _db: Database, _person: Person, _token: str) -> str:
    return "é"


SPOILS = (
    *(expired, of_another_account, for_another_purpose, of_a_deleted_account, with_another_spelling, never_issued),
    no_token,
)


@pytest.mark.parametrize("spoil", SPOILS)
async def test_a_token_that_is_not_valid_is_refused(gateway: Gateway, db: Database, spoil: Spoil) -> None:
    """All kinds are refused in the same way, and nothing changes."""
    person = await gateway.register()
    token = await spoil(gateway, db, person, await gateway.token(person))
    answer = await gateway.use(token)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_link")
    async with db.connection() as connection:
        assert not await connection.fetchval("SELECT email_verified FROM users WHERE id = $1", person.id)


@pytest.mark.parametrize("purpose", ["verify", "change"])
async def test_a_link_to_verify_resets_no_password(gateway: Gateway, purpose: Purpose) -> None:
    person = await gateway.newcomer()
    email = person.email
    if purpose == "change":
        email = f"{uuid4().hex}@example.com"
        change = {"email": email, "current_password": PASSWORD}
        (await gateway.call(person, "PATCH", "/v1/me", json=change)).raise_for_status()
    body = {"token": await gateway.token(person, purpose, email), "password": "another horse battery"}
    assert (await gateway.http.post(CONFIRM_RESET, json=body)).status_code == 422
    assert (await gateway.login(person.email)).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"token": ""}, {"token": "a\0b"}, {"token": 1}, {"token": "x", "user_id": "y"}, []]
)
async def test_a_body_that_cannot_be_read_is_explained(gateway: Gateway, body: Any) -> None:
    answer = await gateway.http.post(VERIFY, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


@pytest.mark.parametrize("path", [VERIFY, RESEND, "/v1/password-resets", CONFIRM_RESET])
async def test_opening_a_link_with_get_changes_nothing(gateway: Gateway, path: str) -> None:
    """A scanner of mails that opens every link verifies nothing."""
    person = await gateway.register()
    token = await gateway.token(person)
    answer = await gateway.http.get(path, params={"token": token})
    assert answer.status_code == 405
    assert (await gateway.use(token)).status_code == 204


async def test_the_first_verification_ends_earlier_sessions(gateway: Gateway, db: Database) -> None:
    """Another person may have registered the address. The session that sends the token goes on, and the worker is to
    disable webhooks."""
    attacker = await gateway.newcomer()
    owner = await gateway.logged_in(attacker)
    assert (await gateway.use(await gateway.token(owner), owner)).status_code == 204
    assert (await gateway.refresh(attacker.refresh_token)).status_code == 401
    assert (await gateway.refresh(owner.refresh_token)).status_code == 200
    ended = await revoked(gateway)
    assert (attacker.session_id in ended, owner.session_id in ended) == (True, False)
    async with db.connection() as connection:
        find = "SELECT payload->>'reason' FROM outbox WHERE user_id = $1 AND type = 'user.credentials_revoked'"
        assert await connection.fetchval(find, owner.id) == "verified"


async def test_without_a_session_all_earlier_ones_end(gateway: Gateway) -> None:
    """The session of another account is not a reason to keep one."""
    person, other = await gateway.newcomer(), await gateway.newcomer()
    assert (await gateway.use(await gateway.token(person), other)).status_code == 204
    assert (await gateway.refresh(person.refresh_token)).status_code == 401
    assert (await gateway.refresh(other.refresh_token)).status_code == 200


async def test_an_account_that_is_verified_needs_no_link(gateway: Gateway) -> None:
    """Neither the worker nor its owner gets another."""
    person = await gateway.verified(await gateway.newcomer())
    assert (await gateway.link(person)).json()["code"] == "link_not_wanted"
    answer = await gateway.call(person, "POST", RESEND)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_verified")


@pytest.mark.parametrize("asked", [{"email": "another@example.com"}, {"user_id": str(uuid4())}, {"purpose": "change"}])
async def test_a_link_is_only_for_the_address_it_is_about(gateway: Gateway, asked: dict[str, str]) -> None:
    """A mail to an earlier address gets none."""
    person = await gateway.register()
    body = {"user_id": str(person.id), "purpose": "verify", "email": person.email}
    answer = await gateway.as_worker("POST", LINKS_PATH, json=body | asked)
    assert (answer.status_code, answer.json()["code"]) == (409, "link_not_wanted")


async def test_only_the_worker_gets_links_and_addresses(gateway: Gateway) -> None:
    person = await gateway.register()
    body = {"user_id": str(person.id), "purpose": "verify", "email": person.email}
    assert (await gateway.call(person, "POST", LINKS_PATH, json=body)).status_code == 401
    assert (await gateway.call(person, "GET", f"/internal/addresses/{person.id}")).status_code == 401


async def test_a_link_is_sent_again_on_request_but_not_at_will(gateway: Gateway, db: Database) -> None:
    """Right after the registration it is sent again; another request within a minute, or beyond five mails a day, is
    429 and says when to retry. Of ten at once one is sent."""
    person = await gateway.newcomer()
    answers = await asyncio.gather(*(gateway.call(person, "POST", RESEND) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] + [429] * 9
    assert await tasks(db, person) == [("address_verification", person.email)] * 2
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "too_many_mails"
    assert 0 < int(refused.headers["Retry-After"]) <= 60

    for _ in range(mails.MOST - 2):
        await let_pass(db, mails.PAUSE)
        assert (await gateway.call(person, "POST", RESEND)).status_code == 202
    await let_pass(db, mails.PAUSE)
    refused = await gateway.call(person, "POST", RESEND)
    assert refused.status_code == 429
    assert 3600 < int(refused.headers["Retry-After"]) <= 24 * 3600
    await let_pass(db, mails.WINDOW)
    assert (await gateway.call(person, "POST", RESEND)).status_code == 202


async def test_a_stranger_gets_few_mails_however_often_the_address_is_registered(
    gateway: Gateway, db: Database
) -> None:
    """Who registers an address and deletes the account again, over and over, causes five mails; the next is sent when
    the day is over. It is never dropped."""
    email, due = f"{uuid4().hex}@example.com", []
    for _ in range(mails.MOST + 1):
        body = {"email": email, "name": "Eve", "password": PASSWORD}
        person = Person(UUID((await gateway.http.post("/v1/users", json=body)).raise_for_status().json()["id"]), email)
        async with db.connection() as connection:
            find = "SELECT due_at - now() FROM outbox WHERE user_id = $1 AND type LIKE 'task.%'"
            due.append(await connection.fetchval(find, person.id))
        (await gateway.call(person, "DELETE", "/v1/me", json={"current_password": PASSWORD})).raise_for_status()
    assert due[:-1] == [None] * mails.MOST
    assert timedelta(hours=23) < due[-1] <= timedelta(days=1)


async def test_an_account_that_is_not_verified_expires(gateway: Gateway, db: Database) -> None:
    """After a week it is deleted with its event, as its owner would delete it. A verified account stays, and so do one
    that has time left and one with a role."""
    late, verified, early, operator = [await gateway.register() for _ in range(4)]
    await gateway.verified(verified)
    async with db.connection() as connection:
        left = await connection.fetchval("SELECT expires_at - now() FROM users WHERE id = $1", early.id)
        await connection.execute("UPDATE users SET role = 'support' WHERE id = $1", operator.id)
        over = "UPDATE users SET expires_at = now() - interval '1 second' WHERE id = ANY($1)"
        await connection.execute(over, [late.id, operator.id])
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    await verification.expire(db)
    assert (await gateway.login(late.email)).status_code == 401
    for person in (verified, early, operator):
        assert (await gateway.login(person.email)).status_code == 200
    assert await actions(gateway, late) == ["account_expired"]
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT type FROM outbox WHERE user_id = $1", late.id)
    assert [row["type"] for row in rows] == ["user.deleted"]


async def test_old_links_and_counts_are_deleted(gateway: Gateway, db: Database) -> None:
    person = await gateway.register()
    kept, over = await gateway.token(person), await gateway.token(person)
    async with db.connection() as connection:
        expire = "UPDATE mail_tokens SET expires_at = now() - interval '1 second' WHERE token_hash = $1"
        await connection.execute(expire, Token.parse(over).hash)  # type: ignore[union-attr]
    await let_pass(db, mails.WINDOW + timedelta(seconds=1))
    await mails.expire(db)
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM mail_tokens WHERE user_id = $1", person.id) == 1
        assert await connection.fetchval("SELECT count(*) FROM mail_requests") == 0
    assert (await gateway.use(kept)).status_code == 204


async def test_links_lead_to_the_public_page_whatever_the_host_header(new_database: NewDatabase) -> None:
    """In production the page must be known: without it no link is created, and the service is degraded."""
    known = settings_for(new_database("users"), public_url="https://dash.example.com/app")
    async with serving(known) as (_, gateway):
        person = await gateway.register()
        gateway.http.headers["Host"] = "evil.example"
        assert (await gateway.link(person)).json()["url"].startswith("https://dash.example.com/app/#/verify?token=")


async def test_without_a_public_page_links_wait(service: tuple[FastAPI, Gateway]) -> None:
    app, gateway = service
    person = await gateway.register()
    before, settings = app.state.settings, app.state.settings
    assert (await gateway.link(person)).status_code == 200
    app.state.settings = settings.model_copy(update={"environment": "production"})
    try:
        answer = await gateway.link(person)
    finally:
        app.state.settings = before
    assert (answer.status_code, answer.json()["code"]) == (503, "page_unknown")
