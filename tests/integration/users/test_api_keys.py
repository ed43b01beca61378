"""API keys: creating, listing, deleting, and their lookup by gateways."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.users.accounts.roles import change_role
from services.users.api_keys.service import MAX_PER_USER
from shared.clock import now, rfc3339
from shared.contracts.internal_api import PERSONAL_DATA_PATH, REVOCATIONS_PATH
from shared.db.engine import Database
from shared.http.api_keys import LOOKUP_PATH, is_well_formed
from shared.http.tokens import Role, ServiceTokens
from tests.support.users import PASSWORD, SECRET, Gateway, Person

PATH = "/v1/me/api-keys"
Ending = Callable[[Gateway, Person, Database, str], Awaitable[object]]


async def create(gateway: Gateway, person: Person, **fields: Any) -> httpx.Response:
    body = {"name": "script", "scopes": ["read"], "current_password": PASSWORD} | fields
    return await gateway.call(person, "POST", PATH, json=body)


async def created(gateway: Gateway, person: Person, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = (await create(gateway, person, **fields)).raise_for_status().json()
    return made


async def listed(gateway: Gateway, person: Person) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await gateway.call(person, "GET", PATH)).raise_for_status().json()["items"]
    return items


async def look_up(gateway: Gateway, key: str) -> dict[str, Any] | None:
    body = {"key_hash": hashlib.sha256(key.encode()).hexdigest()}
    found: dict[str, Any] | None = (await gateway.http.post(LOOKUP_PATH, json=body)).raise_for_status().json()["key"]
    return found


async def give_role(db: Database, person: Person, role: Role) -> Person:
    """As an operator of the database could, without the command that deletes keys."""
    async with db.connection() as connection:
        await connection.execute("UPDATE users SET role = $2 WHERE id = $1", person.id, role)
    return person.having(role)


async def test_a_key_is_shown_once(gateway: Gateway, db: Database) -> None:
    """The response has the key, and is not cached; the list shows only its beginning, and the table holds its hash."""
    person = await gateway.newcomer()
    ends = now() + timedelta(days=30)
    answer = await create(gateway, person, name=" nightly ", scopes=["read", "write"], expires_at=rfc3339(ends))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    made = answer.json()
    assert made.keys() == {"id", "name", "key", "scopes", "expires_at", "created_at"}
    assert (made["name"], made["scopes"], made["expires_at"]) == ("nightly", ["read", "write"], rfc3339(ends))
    assert is_well_formed(made["key"].encode())
    shown = await gateway.call(person, "GET", PATH)
    assert made["key"][10:] not in shown.text
    (item,) = shown.json()["items"]
    expected = {name: made[name] for name in ("id", "name", "scopes", "expires_at", "created_at")}
    assert item == expected | {"prefix": made["key"][:10], "last_used_at": None}
    async with db.connection() as connection:
        row = await connection.fetchrow(
            "SELECT api_keys::text AS whole, key_hash FROM api_keys WHERE id = $1", made["id"]
        )
        entry = await connection.fetchrow(
            "SELECT detail FROM audit WHERE actor_id = $1 AND action = 'api_key_created'", person.id
        )
    assert row is not None
    assert entry is not None
    assert row["key_hash"] == hashlib.sha256(made["key"].encode()).digest()
    assert made["key"][10:] not in row["whole"]
    assert entry["detail"] == f"id={made['id']} scopes=read,write"


async def test_scopes_and_a_null_expiry(gateway: Gateway) -> None:
    """A scope that is given twice counts once, and a key need not expire."""
    made = await created(gateway, await gateway.newcomer(), scopes=["write", "write"], expires_at=None)
    assert (made["scopes"], made["expires_at"]) == (["write"], None)


@pytest.mark.parametrize("given", [{"current_password": "wrong"}, {"current_password": None}, {}])
async def test_a_key_needs_the_password(gateway: Gateway, given: dict[str, Any]) -> None:
    """Without the right one there is no key; a wrong one counts as a failed sign-in."""
    person = await gateway.newcomer()
    body = {"name": "script", "scopes": ["read"], **given}
    answer = await gateway.call(person, "POST", PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "wrong_password")
    assert [error["field"] for error in answer.json()["errors"]] == ["current_password"]
    assert await listed(gateway, person) == []


@pytest.mark.parametrize(
    ("role", "scopes", "status"),
    [
        ("user", ["read", "write"], 201),
        ("user", ["admin"], 422),
        ("user", ["read", "admin"], 422),
        ("support", ["admin"], 201),
        ("admin", ["read", "write", "admin"], 201),
    ],
)
async def test_scopes_are_within_the_owners_role(
    gateway: Gateway, db: Database, role: Role, scopes: list[str], status: int
) -> None:
    """The stored role counts, whatever the token says; a refusal names the field."""
    person = (await give_role(db, await gateway.newcomer(), role)).having("admin")
    answer = await create(gateway, person, scopes=scopes)
    assert answer.status_code == status
    if status != 201:
        assert [error["field"] for error in answer.json()["errors"]] == ["scopes"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scopes", []),
        ("scopes", ["root"]),
        ("scopes", ["read"] * 11),
        ("scopes", "read"),
        ("name", ""),
        ("name", " "),
        ("name", "x" * 101),
        ("name", "\u202efdp"),
        ("name", "a\nb"),
        ("name", None),
        ("expires_at", "2026-01-01T00:00:00Z"),
        ("expires_at", "2126-01-01T00:00:00"),
        ("expires_at", "9999-12-31T23:59:59-14:00"),
        ("expires_at", "0001-01-01T00:00:00+14:00"),
        ("expires_at", "soon"),
        ("expires_at", 1e300),
        ("role", "admin"),
        ("key", "dsh_x"),
        ("id", "00000000-0000-0000-0000-000000000001"),
    ],
)
async def test_a_bad_field_is_named(gateway: Gateway, field: str, value: Any) -> None:
    """422, and nothing is stored."""
    person = await gateway.newcomer()
    answer = await create(gateway, person, **{field: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].partition(".")[0] == field
    assert await listed(gateway, person) == []


async def test_the_last_moment_of_the_calendar(gateway: Gateway) -> None:
    """Any time in the future is accepted."""
    made = await created(gateway, await gateway.newcomer(), expires_at="9999-12-31T23:59:59Z")
    assert made["expires_at"].startswith("9999-12-31T23:59:59")
    assert (await look_up(gateway, made["key"]) or {})["id"] == made["id"]


async def test_an_account_has_a_limited_number(gateway: Gateway) -> None:
    """Also if all are created at once; after one is deleted there is room for another."""
    person = await gateway.newcomer()
    answers = await asyncio.gather(*(create(gateway, person) for _ in range(MAX_PER_USER + 3)))
    assert sorted(answer.status_code for answer in answers) == [201] * MAX_PER_USER + [409] * 3
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"too_many_api_keys"}
    first = (await listed(gateway, person))[0]
    assert (await gateway.call(person, "DELETE", f"{PATH}/{first['id']}")).status_code == 204
    assert (await create(gateway, person)).status_code == 201


async def test_a_key_is_looked_up_by_its_hash(gateway: Gateway, db: Database) -> None:
    """The answer has its owner, their present role and the scopes; an unknown key is null."""
    person = await gateway.newcomer()
    made = await created(gateway, person, scopes=["read", "write"])
    found = await look_up(gateway, made["key"])
    assert found is not None
    assert set(found.pop("scopes")) == {"read", "write"}
    assert found == {"id": made["id"], "user_id": str(person.id), "role": "user", "expires_at": None}
    await give_role(db, person, "support")
    assert (await look_up(gateway, made["key"]) or {})["role"] == "support"
    assert await look_up(gateway, f"{made['key']}x") is None


async def test_an_expired_key_is_unknown(gateway: Gateway, db: Database) -> None:
    """From that moment on, and it stays listed."""
    person = await gateway.newcomer()
    made = await created(gateway, person, expires_at=rfc3339(now() + timedelta(days=1)))
    assert await look_up(gateway, made["key"]) is not None
    async with db.connection() as connection:
        await connection.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", made["id"])
    assert await look_up(gateway, made["key"]) is None
    assert [item["id"] for item in await listed(gateway, person)] == [made["id"]]


async def test_the_last_use_is_stored_at_most_once_a_minute(gateway: Gateway, db: Database) -> None:
    """Not by a lookup within a minute of the last one, also if many come at once."""
    person = await gateway.newcomer()
    made = await created(gateway, person)
    await look_up(gateway, made["key"])
    (first,) = [item["last_used_at"] for item in await listed(gateway, person)]
    assert first is not None
    await asyncio.gather(*(look_up(gateway, made["key"]) for _ in range(5)))
    assert [item["last_used_at"] for item in await listed(gateway, person)] == [first]
    async with db.connection() as connection:
        earlier = datetime.fromisoformat(first).astimezone(UTC) - timedelta(minutes=1)
        await connection.execute("UPDATE api_keys SET last_used_at = $2 WHERE id = $1", made["id"], earlier)
    await look_up(gateway, made["key"])
    assert [item["last_used_at"] > first for item in await listed(gateway, person)] == [True]


async def test_only_a_gateway_looks_keys_up(gateway: Gateway) -> None:
    """Not the worker, nobody without a service token, and by nothing but a hash."""
    body = {"key_hash": "0" * 64}
    worker = ServiceTokens(SECRET.get_secret_value(), "worker").token()
    for token in (worker, "x"):
        refused = await gateway.http.post(LOOKUP_PATH, json=body, headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 401
    for wrong in ("0" * 63, "G" * 64, "", None):
        answer = await gateway.http.post(LOOKUP_PATH, json={"key_hash": wrong})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "key_hash")


async def delete_key(gateway: Gateway, person: Person, _: Database, key_id: str) -> None:
    assert (await gateway.call(person, "DELETE", f"{PATH}/{key_id}")).status_code == 204
    again = await gateway.call(person, "DELETE", f"{PATH}/{key_id}")
    assert (again.status_code, again.json()["code"]) == (404, "api_key_not_found")


async def change_to_support(_: Gateway, person: Person, db: Database, __: str) -> None:
    async with db.begin() as session:
        await change_role(session, person.email, "support", "a test")


async def delete_account(gateway: Gateway, person: Person, _: Database, __: str) -> None:
    body = {"current_password": PASSWORD}
    (await gateway.call(person, "DELETE", "/v1/me", json=body)).raise_for_status()


@pytest.mark.parametrize("end", [delete_key, change_to_support, delete_account])
async def test_a_key_is_revoked(gateway: Gateway, db: Database, end: Ending) -> None:
    """By its deletion, by a change of the owner's role if it has the scope `admin`, and with the account: gateways are
    told, and it is unknown from then on."""
    person = await give_role(db, await gateway.newcomer(), "admin")
    made = await created(gateway, person, scopes=["read", "admin"])
    other = await created(gateway, person)
    await end(gateway, person, db, made["id"])
    answer = (await gateway.http.get(REVOCATIONS_PATH)).raise_for_status().json()
    ended = str(person.id) in answer["users"] if end is delete_account else made["id"] in answer["sessions"]
    assert ended
    assert other["id"] not in answer["sessions"]
    assert await look_up(gateway, made["key"]) is None
    assert (await look_up(gateway, other["key"]) is None) is (end is delete_account)


async def test_a_new_password_keeps_the_keys(gateway: Gateway) -> None:
    """It ends the other sessions only."""
    person = await gateway.newcomer()
    made = await created(gateway, person)
    change = {"password": "an other horse", "current_password": PASSWORD}
    (await gateway.call(person, "PATCH", "/v1/me", json=change)).raise_for_status()
    assert await look_up(gateway, made["key"]) is not None


async def test_the_list_has_pages(gateway: Gateway) -> None:
    """Newest first."""
    person = await gateway.newcomer()
    made = [(await created(gateway, person))["id"] for _ in range(3)]
    page = (await gateway.call(person, "GET", PATH, params={"limit": 2})).json()
    rest = (await gateway.call(person, "GET", PATH, params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None


async def test_an_export_names_keys_and_sessions(gateway: Gateway) -> None:
    """With what their lists show, and without the key's hash."""
    person = await gateway.newcomer()
    made = await created(gateway, person)
    answer = (await gateway.call(person, "GET", PERSONAL_DATA_PATH)).raise_for_status()
    (key,), (session,) = answer.json()["api_keys"], answer.json()["sessions"]
    assert (key["id"], key["prefix"]) == (made["id"], made["key"][:10])
    assert key.keys() == {"id", "name", "prefix", "scopes", "expires_at", "created_at", "last_used_at"}
    assert UUID(session["id"]) == person.session_id
    assert session.keys() == {"id", "device", "address", "created_at", "last_seen_at", "expires_at"}
    assert hashlib.sha256(made["key"].encode()).hexdigest() not in answer.text
