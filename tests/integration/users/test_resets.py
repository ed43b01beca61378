"""Resets of forgotten passwords."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from services.users.accounts import mails
from shared.db.engine import Database
from tests.support.accounts import actions, let_pass, notices, profile, revoked, tasks
from tests.support.users import PASSWORD, Gateway, Person
from tests.support.waiting import eventually

RESETS, CONFIRM = "/v1/password-resets", "/v1/password-resets/confirm"
NEW = "another horse battery"


async def request(gateway: Gateway, email: str, **headers: str) -> int:
    return (await gateway.http.post(RESETS, json={"email": email}, headers=headers)).status_code


async def processed(db: Database) -> None:
    """Wait until no request is waiting."""

    async def none_waits() -> bool:
        async with db.connection() as connection:
            return not await connection.fetchval("SELECT count(*) FROM reset_requests")

    await eventually(none_waits)


async def confirm(gateway: Gateway, token: str, password: str = NEW) -> Any:
    return await gateway.http.post(CONFIRM, json={"token": token, "password": password})


async def resets(db: Database, person: Person) -> int:
    return [kind for kind, _ in await tasks(db, person)].count("password_reset")


async def test_a_link_sets_a_new_password_once(gateway: Gateway, db: Database) -> None:
    """All sessions end, and a notice is sent. The link is valid for an hour, and not twice."""
    person = await gateway.verified(await gateway.newcomer())
    assert await request(gateway, person.email.upper()) == 202
    await processed(db)
    assert ("password_reset", person.email) in await tasks(db, person)
    link = (await gateway.link(person, "reset")).json()
    assert link["url"].startswith("http://127.0.0.1:8000/#/reset?token=")
    assert link["valid_s"] == 3600
    token, other = link["url"].rpartition("=")[2], await gateway.token(person, "reset")
    assert (await confirm(gateway, token)).status_code == 204
    assert (await gateway.login(person.email)).status_code == 401
    assert (await gateway.login(person.email, NEW)).status_code == 200
    assert (await gateway.refresh(person.refresh_token)).status_code == 401
    assert person.session_id in await revoked(gateway)
    assert await notices(db, person) == [("password_reset", person.email, True)]
    for spent in (token, other):
        refused = await confirm(gateway, spent, "a third horse battery")
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_link")
    assert (await gateway.login(person.email, NEW)).status_code == 200
    assert (await actions(gateway, person))[2:5] == ["password_reset_requested", "password_reset", "sign_in_failed"]


@pytest.mark.parametrize("way", ["expired", "to verify", "of another account", "nonsense"])
async def test_a_token_that_is_not_valid_sets_no_password(gateway: Gateway, db: Database, way: str) -> None:
    person, other = await gateway.register(), await gateway.register()
    token = await gateway.token(person, "reset")
    if way == "expired":
        async with db.connection() as connection:
            await connection.execute("UPDATE mail_tokens SET expires_at = now() WHERE user_id = $1", person.id)
    elif way == "to verify":
        token = await gateway.token(person, "verify")
    elif way == "of another account":
        token = await gateway.token(other, "reset")
        await gateway.call(other, "DELETE", "/v1/me", json={"current_password": PASSWORD})
    else:
        token = token[:-4]
    answer = await confirm(gateway, token)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_link")
    assert (await gateway.login(person.email)).status_code == 200


async def test_a_weak_password_leaves_the_link_valid(gateway: Gateway) -> None:
    """The response names the field."""
    person = await gateway.register()
    token = await gateway.token(person, "reset")
    for password, code in (("password", "weak_password"), (person.email, "weak_password"), ("short", "invalid_input")):
        answer = await confirm(gateway, token, password)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert answer.json()["errors"][0]["field"] == "password"
    assert (await confirm(gateway, token)).status_code == 204


async def test_an_unknown_address_costs_the_same_statements(service: tuple[FastAPI, Gateway]) -> None:
    """The response is the same, 202 without a body, after the same statements: nothing looks the address up before it
    is answered. This is what makes the time equal."""
    _, gateway = service
    person = await gateway.register()
    known, unknown = [await statements(gateway, email) for email in (person.email, f"{uuid4().hex}@example.com")]
    assert known == unknown
    assert not any("FROM users" in statement for _, __, run in (known,) for statement in run)


async def statements(gateway: Gateway, email: str) -> tuple[int, bytes, list[str]]:
    """Return status and body of a response, and the statements of its request."""
    run: list[str] = []
    task = asyncio.current_task()

    def note(*executed: Any) -> None:
        if asyncio.current_task() is task:
            run.append(executed[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        answer = await gateway.http.post(RESETS, json={"email": email})
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    return answer.status_code, answer.content, run


async def test_an_unknown_address_leaves_nothing_but_an_entry_in_the_log(gateway: Gateway, db: Database) -> None:
    """The entry has no account, and the client's address. The requested address is not kept."""
    email, client = f"{uuid4().hex}@example.com", "203.0.113.99"
    assert await request(gateway, email, **{"X-Forwarded-For": client}) == 202
    await processed(db)
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT * FROM audit WHERE address = $1", client)
        assert not await connection.fetchval("SELECT count(*) FROM outbox WHERE payload::text LIKE $1", f"%{email}%")
    assert [(row["action"], row["subject_id"]) for row in rows] == [("password_reset_requested", None)]
    assert email not in str(rows)


async def test_ten_requests_at_once_send_one_mail(gateway: Gateway, db: Database) -> None:
    """All are 202. Another mail is sent after a minute, and at most five a day."""
    person = await gateway.register()
    codes = await asyncio.gather(*(request(gateway, person.email) for _ in range(10)))
    assert set(codes) == {202}
    await processed(db)
    assert await resets(db, person) == 1
    for _ in range(mails.MOST + 2):
        await let_pass(db, mails.PAUSE)
        assert await request(gateway, person.email) == 202
        await processed(db)
    assert await resets(db, person) == mails.MOST
    await let_pass(db, mails.WINDOW)
    await request(gateway, person.email)
    await processed(db)
    assert await resets(db, person) == mails.MOST + 1


async def test_who_has_used_a_link_may_ask_for_another_at_once(gateway: Gateway, db: Database) -> None:
    person = await gateway.register()
    for _ in range(2):
        await request(gateway, person.email)
        await processed(db)
        assert (await confirm(gateway, await gateway.token(person, "reset"))).status_code == 204
    assert await resets(db, person) == 2


async def test_requests_survive_the_process_that_stored_them(service: tuple[FastAPI, Gateway], db: Database) -> None:
    """Another process finds them, or the same one after its restart."""
    app, gateway = service
    person = await gateway.register()
    async with db.connection() as connection:
        insert = "INSERT INTO reset_requests (id, email) VALUES (gen_random_uuid(), $1)"
        await connection.executemany(insert, [(person.email,)] * 3)
    await app.state.password_resets.process()
    await processed(db)
    assert await resets(db, person) == 1


async def test_a_reset_verifies_the_address_and_shuts_out_who_registered_it(gateway: Gateway, db: Database) -> None:
    """Its sessions, links and new address end with it, and the worker is to disable webhooks."""
    attacker = await gateway.newcomer()
    theirs = f"{uuid4().hex}@example.com"
    change = {"email": theirs, "current_password": PASSWORD}
    (await gateway.call(attacker, "PATCH", "/v1/me", json=change)).raise_for_status()
    prepared = await gateway.token(attacker, "change", theirs)
    assert (await confirm(gateway, await gateway.token(attacker, "reset"))).status_code == 204
    owner = await gateway.logged_in_with(attacker, NEW)
    shown = await profile(gateway, owner)
    assert (shown["email"], shown["email_verified"], shown["pending_email"]) == (attacker.email, True, None)
    assert (await gateway.refresh(attacker.refresh_token)).status_code == 401
    assert (await gateway.use(prepared)).status_code == 422
    async with db.connection() as connection:
        find = "SELECT type, payload->>'reason' FROM outbox WHERE user_id = $1 AND type LIKE 'user.%' ORDER BY id"
        kinds = [tuple(row) for row in await connection.fetch(find, owner.id)]
    assert kinds == [("user.registered", None), ("user.credentials_revoked", "reset"), ("user.updated", None)]


async def test_a_new_password_ends_links_to_reset_it(gateway: Gateway) -> None:
    person = await gateway.newcomer()
    token = await gateway.token(person, "reset")
    change = {"password": NEW, "current_password": PASSWORD}
    (await gateway.call(person, "PATCH", "/v1/me", json=change)).raise_for_status()
    assert (await confirm(gateway, token, "a third horse battery")).status_code == 422
    assert (await gateway.use(await gateway.token(person))).status_code == 204


@pytest.mark.parametrize("body", [{}, {"email": "nobody"}, {"email": None}, {"email": "a@example.com", "x": 1}, []])
async def test_a_request_that_cannot_be_read_is_explained(gateway: Gateway, body: Any) -> None:
    """This depends on the request alone, not on whether there is an account."""
    answer = await gateway.http.post(RESETS, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


async def test_two_at_once_use_a_token_once(gateway: Gateway) -> None:
    person = await gateway.register()
    token = await gateway.token(person, "reset")
    answers = await asyncio.gather(*(confirm(gateway, token, f"{NEW} {number}") for number in range(6)))
    assert sorted(answer.status_code for answer in answers) == [204] + [422] * 5


async def test_a_deleted_account_gets_no_mail(gateway: Gateway, db: Database) -> None:
    person = await gateway.newcomer()
    (await gateway.call(person, "DELETE", "/v1/me", json={"current_password": PASSWORD})).raise_for_status()
    assert await request(gateway, person.email) == 202
    await processed(db)
    assert await tasks(db, person) == []
    assert (await gateway.link(person, "reset")).status_code == 409
    assert UUID(str(person.id))
