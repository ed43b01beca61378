"""Suspended accounts, and what else administrators do with accounts."""

import pytest

from services.users.accounts import administration
from services.users.audit.repository import Actor
from shared.db.engine import Database
from shared.http.tokens import Role
from shared.ids import new_id
from tests.support.accounts import actions, profile, revoked, tasks
from tests.support.users import Gateway, Person
from tests.support.waiting import eventually

ADMIN = Person(new_id(), "", "admin")


async def order(gateway: Gateway, person: Person, what: str, by: Person = ADMIN) -> int:
    return (await gateway.call(by, "POST", f"/v1/admin/users/{person.id}/{what}")).status_code


async def test_a_suspended_account_is_shut_out_at_once(gateway: Gateway) -> None:
    """Its sessions end on every gateway, and its refresh tokens are not valid. The right password is answered with a
    clear error, and a wrong one like any wrong password."""
    person, other = await gateway.newcomer(), await gateway.newcomer()
    second = await gateway.logged_in(person)
    assert await order(gateway, person, "suspend") == 204
    ended = await revoked(gateway)
    assert {person.session_id, second.session_id} <= ended
    assert other.session_id not in ended
    assert (await gateway.refresh(person.refresh_token)).status_code == 401
    refused = await gateway.login(person.email)
    assert (refused.status_code, refused.json()["code"]) == (403, "account_suspended")
    assert (await gateway.login(person.email, "a wrong password")).json()["code"] == "invalid_credentials"
    assert (await gateway.refresh(other.refresh_token)).status_code == 200


async def test_an_account_that_is_not_suspended_any_more_signs_in(gateway: Gateway) -> None:
    """Sessions from before stay ended. Doing it twice has no further effect, and one entry in the audit log."""
    person = await gateway.newcomer()
    for what in ("suspend", "suspend", "unsuspend", "unsuspend"):
        assert await order(gateway, person, what) == 204
    again = await gateway.logged_in(person)
    assert again.session_id not in await revoked(gateway)
    assert (await gateway.refresh(person.refresh_token)).status_code == 401
    assert (await gateway.refresh(again.refresh_token)).status_code == 200
    assert await actions(gateway, person) == [
        *("signed_in", "account_suspended", "account_unsuspended", "signed_in"),
    ]


async def test_links_do_not_open_a_suspended_account(gateway: Gateway, db: Database) -> None:
    """Neither those from before, which are ended, nor new ones: no mail is sent."""
    person = await gateway.register()
    before = await gateway.token(person, "reset")
    assert await order(gateway, person, "suspend") == 204
    body = {"token": before, "password": "another horse battery"}
    assert (await gateway.http.post("/v1/password-resets/confirm", json=body)).status_code == 422
    assert (await gateway.link(person, "reset")).status_code == 409
    assert (await gateway.http.post("/v1/password-resets", json={"email": person.email})).status_code == 202

    async def is_processed() -> bool:
        async with db.connection() as connection:
            return not await connection.fetchval("SELECT count(*) FROM reset_requests")

    await eventually(is_processed)
    assert await tasks(db, person) == [("address_verification", person.email)]


async def test_a_token_of_an_account_that_is_suspended_meanwhile_says_so(gateway: Gateway, db: Database) -> None:
    person = await gateway.register()
    async with db.begin() as session:
        user = await administration.locked(session, person.email)
        await administration.suspend(session, user, Actor(detail="by a test"))
    token = await spare_token(gateway, db, person)
    answer = await gateway.use(token)
    assert (answer.status_code, answer.json()["code"]) == (403, "account_suspended")


async def spare_token(gateway: Gateway, db: Database, person: Person) -> str:
    """Return the token of a link as if it had been created at the moment of the suspension."""
    async with db.connection() as connection:
        at = await connection.fetchval("UPDATE users SET suspended_at = NULL WHERE id = $1 RETURNING now()", person.id)
        token = await gateway.token(person)
        await connection.execute("UPDATE users SET suspended_at = $2 WHERE id = $1", person.id, at)
    return token


async def test_nobody_suspends_themselves(gateway: Gateway) -> None:
    admin = (await gateway.newcomer()).having("admin")
    answer = await gateway.call(admin, "POST", f"/v1/admin/users/{admin.id}/suspend")
    assert (answer.status_code, answer.json()["code"]) == (409, "own_account")
    assert (await gateway.refresh(admin.refresh_token)).status_code == 200


@pytest.mark.parametrize("what", ["suspend", "unsuspend", "verify"])
@pytest.mark.parametrize("role", ["user", "support"])
async def test_only_administrators_may(gateway: Gateway, what: str, role: Role) -> None:
    """Others get 403, also for an account that does not exist; an administrator gets 404 then."""
    person = await gateway.newcomer()
    for target in (person, Person(new_id(), "")):
        assert await order(gateway, target, what, by=person.having(role)) == 403
    assert await order(gateway, Person(new_id(), ""), what) == 404
    assert (await gateway.refresh(person.refresh_token)).status_code == 200


async def test_an_administrator_verifies_an_address(gateway: Gateway) -> None:
    """This is the first verification: earlier sessions end. For a verified account nothing happens."""
    person = await gateway.newcomer()
    assert await order(gateway, person, "verify") == 204
    assert (await gateway.refresh(person.refresh_token)).status_code == 401
    again = await gateway.logged_in(person)
    assert (await profile(gateway, again))["email_verified"] is True
    assert await order(gateway, person, "verify") == 204
    assert (await gateway.refresh(again.refresh_token)).status_code == 200


async def test_operators_see_who_is_suspended(gateway: Gateway) -> None:
    """In the list of accounts; the owner's profile does not contain it."""
    person = await gateway.newcomer()
    assert await order(gateway, person, "suspend") == 204
    answer = await gateway.call(ADMIN, "GET", "/v1/users", params={"email": person.email})
    [shown] = answer.json()["items"]
    assert shown["suspended_at"] is not None
    assert shown["email_verified"] is False
    assert "suspended_at" not in await profile(gateway, person)


async def test_an_administrator_sends_a_reset(gateway: Gateway, db: Database) -> None:
    """The owner gets a mail with a link, and the log names the administrator. A suspended account gets none."""
    person = await gateway.newcomer()
    assert await order(gateway, person, "reset-password", person.having("support")) == 403
    assert await order(gateway, person, "reset-password") == 202
    assert ("password_reset", person.email) in await tasks(db, person)
    found = await gateway.call(ADMIN, "GET", "/v1/admin/audit", params={"subject_id": str(person.id)})
    [entry] = [one for one in found.json()["items"] if one["action"] == "password_reset_requested"]
    assert entry["actor_id"] == str(ADMIN.id)
    assert await order(gateway, person, "suspend") == 204
    path = f"/v1/admin/users/{person.id}/reset-password"
    refused = await gateway.call(ADMIN, "POST", path)
    assert (refused.status_code, refused.json()["code"]) == (409, "no_reset_of_suspended")
