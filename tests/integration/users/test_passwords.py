"""Passwords as people type them, and the actions that need one."""

import asyncio
import unicodedata
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pwdlib.hashers.argon2 import Argon2Hasher

from shared.contracts.internal_api import CONFIRM
from shared.db.engine import Database
from tests.support.users import PASSWORD, Gateway, Person

COMPOSED = "caf\u00e9 und K\u00e4se-\uac00\ub098"
FORMS = (COMPOSED, unicodedata.normalize("NFD", COMPOSED), COMPOSED.replace(" ", "\u00a0"))
COMMON = (
    "password",
    "12345678",
    " " * 8,
    "\u3000" * 8,
    "qwertyuiop",
    "P@ssw0rd",
    "iloveyou",
    "aaaaaaaa",
    "abcdefgh",
    "passwort",
    "19900101",
)


async def registered(gateway: Gateway, password: str, name: str = "Ada", email: str = "") -> Any:
    body = {"email": email or f"{uuid4().hex}@example.com", "name": name, "password": password}
    return await gateway.http.post("/v1/users", json=body)


@pytest.mark.parametrize("chosen", FORMS)
async def test_every_way_to_type_a_password_signs_in(gateway: Gateway, chosen: str) -> None:
    """Composed and decomposed forms and any kind of space (RFC 8265) work, at sign-in and as `current_password`."""
    email = (await registered(gateway, chosen)).raise_for_status().json()["email"]
    for typed in FORMS:
        assert (await gateway.login(email, typed)).status_code == 200
    assert (await gateway.login(email, COMPOSED.upper())).status_code == 401


async def test_a_hash_from_before_normalization_still_counts(gateway: Gateway, db: Database) -> None:
    """The password as it was typed at that time works, and from then on every form of it."""
    raw = FORMS[1]
    person = await gateway.register()
    async with db.connection() as connection:
        old = Argon2Hasher(1, 8, 1).hash(raw)
        await connection.execute("UPDATE users SET password_hash = $2 WHERE id = $1", person.id, old)
    assert (await gateway.login(person.email, COMPOSED)).status_code == 401
    assert (await gateway.login(person.email, raw)).status_code == 200
    for typed in FORMS:
        assert (await gateway.login(person.email, typed)).status_code == 200


@pytest.mark.parametrize("password", COMMON)
async def test_a_common_password_is_refused_as_a_new_one(gateway: Gateway, password: str) -> None:
    """It is refused at registration and at a change, with a helpful message at the field."""
    person = await gateway.newcomer()
    change = {"password": password, "current_password": PASSWORD}
    for answer in (await registered(gateway, password), await gateway.call(person, "PATCH", "/v1/me", json=change)):
        assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
        [error] = answer.json()["errors"]
        assert error["field"] == "password"
        assert "several unrelated words" in error["message"]


async def test_a_password_of_what_is_known_of_its_owner_is_refused(gateway: Gateway) -> None:
    email = f"grace-{uuid4().hex}@example.com"
    for password in (email, "Grace Hopper", "gracehopper1"):
        assert (await registered(gateway, password, "Grace Hopper", email)).status_code == 422


async def test_a_common_password_that_somebody_has_still_signs_in(gateway: Gateway, db: Database) -> None:
    """It is refused only as a new one."""
    person = await gateway.register()
    async with db.connection() as connection:
        weak = Argon2Hasher(1, 8, 1).hash("password")
        await connection.execute("UPDATE users SET password_hash = $2 WHERE id = $1", person.id, weak)
    assert (await gateway.login(person.email, "password")).status_code == 200


ASKS = [
    ("PATCH", "/v1/me", {"email": "somebody-else@example.com"}),
    ("PATCH", "/v1/me", {"password": "an other horse"}),
    ("DELETE", "/v1/me", {}),
    ("POST", CONFIRM, {}),
]


async def failures(gateway: Gateway, person: Person) -> int:
    wanted = {"subject_id": str(person.id), "action": "sign_in_failed"}
    answer = await gateway.call(person.having("admin"), "GET", "/v1/admin/audit", params=wanted)
    return len(answer.raise_for_status().json()["items"])


@pytest.mark.parametrize(("method", "path", "body"), ASKS)
async def test_a_wrong_password_is_written_down_like_a_failed_sign_in(
    gateway: Gateway, method: str, path: str, body: dict[str, str]
) -> None:
    """A missing password is not an attempt. Both are 422 at the field, and nothing changes."""
    person = await gateway.newcomer()
    for given, noted in ({}, 0), ({"current_password": "not this one"}, 1):
        answer = await gateway.call(person, method, path, json=body | given)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "current_password")
        assert await failures(gateway, person) == noted
    assert (await gateway.login(person.email)).status_code == 200


async def test_the_right_password_is_confirmed(gateway: Gateway) -> None:
    person = await gateway.newcomer()
    answer = await gateway.call(person, "POST", CONFIRM, json={"current_password": PASSWORD})
    assert answer.status_code == 204
    assert await failures(gateway, person) == 0


async def test_a_taken_address_violates_no_constraint(gateway: Gateway) -> None:
    """Postgres logs the values of a violated constraint, which would contain addresses of people."""
    violated: list[str] = []

    def note(context: sa.engine.ExceptionContext) -> None:
        violated.append(str(context.original_exception))

    person, other = await gateway.verified(await gateway.newcomer()), await gateway.newcomer()
    sa.event.listen(sa.Engine, "handle_error", note)
    try:
        fresh = f"{uuid4().hex}@example.com"
        codes = sorted(
            [
                answer.status_code
                for answer in await asyncio.gather(
                    *(registered(gateway, PASSWORD, email=fresh) for _ in range(5)), taking(gateway, other, fresh)
                )
            ]
        )
        assert codes == [200, 201, *[409] * 4]
        for email in (person.email, person.email.upper()):
            assert (await registered(gateway, PASSWORD, email=email)).status_code == 409
            assert (await taking(gateway, other, email)).status_code == 409
        assert (await taking(gateway, person, person.email.upper())).status_code == 200
    finally:
        sa.event.remove(sa.Engine, "handle_error", note)
    assert not violated


async def taking(gateway: Gateway, person: Person, email: str) -> Any:
    return await gateway.call(person, "PATCH", "/v1/me", json={"email": email, "current_password": PASSWORD})
