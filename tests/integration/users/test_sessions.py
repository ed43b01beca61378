"""The list of sessions, and ending them."""

from typing import Any
from uuid import UUID

import pytest

from shared.contracts.internal_api import REVOCATIONS_PATH
from shared.db.engine import Database
from shared.http.identity import CLIENT_ADDRESS_HEADER
from tests.support.users import PASSWORD, Gateway, Person

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
PATH = "/v1/me/sessions"


async def listed(gateway: Gateway, person: Person, **query: Any) -> list[dict[str, Any]]:
    answer = (await gateway.call(person, "GET", PATH, params=query)).raise_for_status().json()
    items: list[dict[str, Any]] = answer["items"]
    return items


async def revoked(gateway: Gateway) -> set[UUID]:
    answer = (await gateway.http.get(REVOCATIONS_PATH)).raise_for_status().json()
    return set(map(UUID, answer["sessions"]))


async def test_a_session_shows_device_address_and_times(gateway: Gateway) -> None:
    """Of the sign-in, and after a refresh those of the refresh."""
    person = await gateway.register()
    form = {"username": person.email, "password": PASSWORD}
    headers = {"User-Agent": FIREFOX, CLIENT_ADDRESS_HEADER: "198.51.100.7"}
    pair = (await gateway.http.post("/v1/tokens", data=form, headers=headers)).raise_for_status().json()
    (shown,) = await listed(gateway, person)
    assert shown.keys() == {"id", "device", "address", "created_at", "last_seen_at", "current"}
    assert (shown["device"], shown["address"]) == ("Firefox on Linux", "198.51.100.7")
    assert shown["created_at"] == shown["last_seen_at"]
    body = {"refresh_token": pair["refresh_token"]}
    headers = {"User-Agent": "curl/8.5.0", CLIENT_ADDRESS_HEADER: "2001:db8::7"}
    (await gateway.http.post("/v1/tokens/refresh", json=body, headers=headers)).raise_for_status()
    (later,) = await listed(gateway, person)
    assert (later["id"], later["device"], later["address"]) == (shown["id"], "curl", "2001:db8::7")
    assert later["created_at"] == shown["created_at"] < later["last_seen_at"]


async def test_a_client_that_names_nothing_is_listed(gateway: Gateway) -> None:
    """Device and address are null."""
    person = await gateway.register()
    form = {"username": person.email, "password": PASSWORD}
    (await gateway.http.post("/v1/tokens", data=form, headers={"User-Agent": ""})).raise_for_status()
    (shown,) = await listed(gateway, person)
    assert (shown["device"], shown["address"]) == (None, None)


async def test_the_session_of_the_request_is_marked(gateway: Gateway) -> None:
    """The newest sign-in comes first, in pages; sessions of others are not included."""
    first = await gateway.newcomer()
    second = await gateway.logged_in(first)
    await gateway.newcomer()
    shown = await listed(gateway, first)
    assert [(UUID(each["id"]), each["current"]) for each in shown] == [
        (second.session_id, False),
        (first.session_id, True),
    ]
    page = (await gateway.call(first, "GET", PATH, params={"limit": 1})).json()
    assert [UUID(each["id"]) for each in page["items"]] == [second.session_id]
    (last,) = await listed(gateway, first, limit=1, cursor=page["next_cursor"])
    assert UUID(last["id"]) == first.session_id


async def test_expired_sessions_are_not_listed(gateway: Gateway, db: Database) -> None:
    """Their rows are deleted at the next sign-in."""
    person = await gateway.newcomer()
    async with db.connection() as connection:
        await connection.execute("UPDATE sessions SET expires_at = now() WHERE user_id = $1", person.id)
    assert await listed(gateway, person) == []


async def test_a_session_from_before_is_listed(gateway: Gateway, db: Database) -> None:
    """A row that the previous version has written has neither device nor address, and was last seen when it began."""
    person = await gateway.newcomer()
    async with db.connection() as connection:
        forget = "UPDATE sessions SET device = NULL, address = NULL, last_seen_at = NULL WHERE user_id = $1"
        await connection.execute(forget, person.id)
    (shown,) = await listed(gateway, person)
    assert (shown["device"], shown["address"], shown["last_seen_at"]) == (None, None, shown["created_at"])


async def test_one_session_is_ended(gateway: Gateway, db: Database) -> None:
    """Its refresh token is refused, gateways are told of it, the audit log has an entry, and the others go on."""
    person = await gateway.newcomer()
    other = await gateway.logged_in(person)
    assert (await gateway.call(person, "DELETE", f"{PATH}/{other.session_id}")).status_code == 204
    assert [UUID(each["id"]) for each in await listed(gateway, person)] == [person.session_id]
    assert (await gateway.refresh(other.refresh_token)).status_code == 401
    assert (await gateway.refresh(person.refresh_token)).status_code == 200
    assert {person.session_id, other.session_id} & await revoked(gateway) == {other.session_id}
    async with db.connection() as connection:
        find = "SELECT detail FROM audit WHERE actor_id = $1 AND action = 'session_ended'"
        assert await connection.fetchval(find, person.id) == f"id={other.session_id}"
    again = await gateway.call(person, "DELETE", f"{PATH}/{other.session_id}")
    assert (again.status_code, again.json()["code"]) == (404, "session_not_found")


async def test_ones_own_session_can_be_ended(gateway: Gateway) -> None:
    """As by signing out."""
    person = await gateway.newcomer()
    assert (await gateway.call(person, "DELETE", f"{PATH}/{person.session_id}")).status_code == 204
    assert (await gateway.refresh(person.refresh_token)).status_code == 401


async def test_all_other_sessions_are_ended(gateway: Gateway) -> None:
    """All but the one that asks, and none of another person; a second time there is nothing to do."""
    person, stranger = await gateway.newcomer(), await gateway.newcomer()
    others = [await gateway.logged_in(person) for _ in range(2)]
    for _ in range(2):
        assert (await gateway.call(person, "DELETE", PATH)).status_code == 204
        assert [UUID(each["id"]) for each in await listed(gateway, person)] == [person.session_id]
    assert await revoked(gateway) >= {other.session_id for other in others}
    assert not {person.session_id, stranger.session_id} & await revoked(gateway)
    assert (await gateway.refresh(stranger.refresh_token)).status_code == 200


@pytest.mark.parametrize("session", ["x", "1", "00000000-0000-0000-0000-00000000000g"])
async def test_what_is_no_id_is_refused(gateway: Gateway, session: str) -> None:
    answer = await gateway.call(await gateway.newcomer(), "DELETE", f"{PATH}/{session}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "session_id")
