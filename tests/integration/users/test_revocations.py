"""Ended sessions and users, stored for gateways to read, whatever ended them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from services.users import revocations
from services.users.accounts.administration import change_role
from shared.contracts.internal_api import REVOCATIONS_PATH, SIGN_OUT
from shared.db.engine import Database
from tests.support.users import PASSWORD, Gateway, Person
from tests.support.waiting import eventually

Ending = Callable[[Gateway, Person, Database], Awaitable[object]]


async def told(gateway: Gateway, after: int = 0) -> tuple[int, set[UUID], set[UUID]]:
    """Return cursor, sessions and users."""
    answer = (await gateway.http.get(REVOCATIONS_PATH, params={"after": after})).raise_for_status().json()
    return answer["cursor"], set(map(UUID, answer["sessions"])), set(map(UUID, answer["users"]))


async def change_password(gateway: Gateway, person: Person, _: Database) -> None:
    change = {"password": "an other horse", "current_password": PASSWORD}
    other = await gateway.logged_in(person)
    (await gateway.call(other, "PATCH", "/v1/me", json=change)).raise_for_status()


async def demote(_: Gateway, person: Person, db: Database) -> None:
    async with db.begin() as session:
        await change_role(session, person.email, "support", "a test")


async def steal(gateway: Gateway, person: Person, _: Database) -> None:
    successor = (await gateway.refresh(person.refresh_token)).json()["refresh_token"]
    await gateway.refresh(successor)
    assert (await gateway.refresh(person.refresh_token)).status_code == 401


async def sign_out(gateway: Gateway, person: Person, _: Database) -> None:
    (await gateway.call(person, "DELETE", "/v1/tokens")).raise_for_status()


async def sign_out_by_cookie(gateway: Gateway, person: Person, _: Database) -> None:
    body = {"refresh_token": person.refresh_token}
    answer = (await gateway.http.post(SIGN_OUT, json=body)).raise_for_status()
    assert answer.json() == {"session_id": str(person.session_id)}


async def delete_account(gateway: Gateway, person: Person, _: Database) -> None:
    answer = await gateway.call(person, "DELETE", "/v1/me", json={"current_password": PASSWORD})
    answer.raise_for_status()


@pytest.mark.parametrize("end", [change_password, demote, steal, sign_out, sign_out_by_cookie, delete_account])
async def test_an_ended_session_is_told(gateway: Gateway, db: Database, end: Ending) -> None:
    """It is reported once, to readers with an earlier cursor; sessions of others are not included."""
    person, other = await gateway.newcomer(), await gateway.newcomer()
    before, sessions, _ = await told(gateway)
    assert person.session_id not in sessions
    await end(gateway, person, db)
    _, sessions, users = await told(gateway, before)
    assert (person.session_id in sessions) is (end is not delete_account)
    assert (person.id in users) is (end is delete_account)
    assert other.session_id not in sessions
    assert other.id not in users


async def test_the_session_that_changes_the_password_goes_on(gateway: Gateway) -> None:
    """The other sessions are reported, and this one is not."""
    person = await gateway.newcomer()
    other = await gateway.logged_in(person)
    change = {"password": "an other horse", "current_password": PASSWORD}
    (await gateway.call(person, "PATCH", "/v1/me", json=change)).raise_for_status()
    _, sessions, _ = await told(gateway)
    assert (person.session_id in sessions, other.session_id in sessions) == (False, True)


async def test_one_that_commits_later_is_not_missed(gateway: Gateway, db: Database) -> None:
    """A transaction that started before others, and commits after those were read, is in the next response."""
    slow, quick = await gateway.newcomer(), await gateway.newcomer()
    async with db.connection() as connection, connection.transaction():
        insert = "INSERT INTO revocations (user_id, ended_id) VALUES ($1, $2)"
        await connection.execute(insert, slow.id, slow.session_id)
        (await gateway.call(quick, "DELETE", "/v1/tokens")).raise_for_status()
        cursor, sessions, _ = await told(gateway)
        assert (slow.session_id in sessions, quick.session_id in sessions) == (False, True)
    _, sessions, _ = await told(gateway, cursor)
    assert slow.session_id in sessions


async def test_a_cursor_of_another_database_reads_everything(gateway: Gateway) -> None:
    """This applies after a restore. A cursor that is not a number is refused."""
    person = await gateway.newcomer()
    (await gateway.call(person, "DELETE", "/v1/tokens")).raise_for_status()
    _, sessions, _ = await told(gateway, 2**62)
    assert person.session_id in sessions
    assert (await gateway.http.get(REVOCATIONS_PATH, params={"after": "x"})).status_code == 422


async def test_what_no_token_outlives_is_deleted(gateway: Gateway, db: Database) -> None:
    """Rows are neither reported nor stored for longer than tokens are valid."""
    person = await gateway.newcomer()
    (await gateway.call(person, "DELETE", "/v1/tokens")).raise_for_status()
    async with db.connection() as connection:
        age = "UPDATE revocations SET ended_at = ended_at - $2::interval WHERE user_id = $1"
        await connection.execute(age, person.id, timedelta(seconds=900 + revocations.MARGIN_S))
    _, sessions, _ = await told(gateway)
    assert person.session_id not in sessions

    async def is_gone() -> bool:
        async with db.connection() as connection:
            return not await connection.fetchval("SELECT count(*) FROM revocations WHERE user_id = $1", person.id)

    expiring = asyncio.create_task(revocations.expire(db, 900))
    await eventually(is_gone)
    expiring.cancel()
    await asyncio.gather(expiring, return_exceptions=True)


async def test_a_token_that_belongs_to_nobody_ends_nothing(gateway: Gateway) -> None:
    """An invalid refresh token, one of an ended session, and one with another secret have no effect."""
    person = await gateway.newcomer()
    forged = person.refresh_token[:-4] + ("AAAA" if not person.refresh_token.endswith("AAAA") else "BBBB")
    for token in ("x", forged, str(uuid4())):
        answer = await gateway.http.post(SIGN_OUT, json={"refresh_token": token})
        assert (answer.status_code, answer.json()) == (200, {"session_id": None})
    assert (await gateway.refresh(person.refresh_token)).status_code == 200
