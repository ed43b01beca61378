"""Registration and one's own profile."""

import asyncio
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI

from shared.clock import now
from shared.db.engine import Database
from shared.ids import new_id
from tests.support.users import PASSWORD, Gateway, Person, serving


async def _events(db: Database, user_id: UUID) -> list[tuple[str, int | None]]:
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT type, (payload->>'revision')::int FROM outbox
            WHERE user_id = $1 AND type LIKE 'user.%' ORDER BY id
            """,
            user_id,
        )
    return [(kind, revision) for kind, revision in rows]


async def test_registration_answers_with_the_profile(gateway: Gateway) -> None:
    """The response is 201 with a valid Location, and contains neither password nor hash."""
    body = {"email": "Ada@Example.com", "name": " Ada ", "password": PASSWORD}
    answer = await gateway.http.post("/v1/users", json=body)
    assert answer.status_code == 201
    profile = answer.json()
    shown = {"id", "email", "email_verified", "pending_email", "name", "role", "avatar_url", "has_password"}
    assert profile.keys() == shown | {"created_at", "updated_at"}
    assert (profile["name"], profile["role"], profile["avatar_url"]) == ("Ada", "user", None)
    assert (profile["email_verified"], profile["pending_email"]) == (False, None)
    assert profile["created_at"].endswith("Z")
    assert UUID(profile["id"]).version == 7
    me = Person(UUID(profile["id"]), profile["email"])
    assert (await gateway.call(me, "GET", answer.headers["Location"])).json() == profile


async def test_an_address_is_used_once_whatever_its_case(gateway: Gateway) -> None:
    """The second registration is 409, and leaves no account and no event."""
    person = await gateway.register()
    body = {"email": person.email.upper(), "name": "Other", "password": PASSWORD}
    answer = await gateway.http.post("/v1/users", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "email_already_used")


async def test_concurrent_registrations_of_one_address(gateway: Gateway, db: Database) -> None:
    """Of ten at once exactly one succeeds, the others are 409, and there is one event and one mail."""
    body = {"email": "rush@example.com", "name": "Rush", "password": PASSWORD}
    answers = await asyncio.gather(*(gateway.http.post("/v1/users", json=body) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT type FROM outbox WHERE payload->>'email' = $1", body["email"])
    assert sorted(row["type"] for row in rows) == ["task.send_address_verification", "user.registered"]


async def test_an_address_that_no_mail_would_reach_is_refused(service: tuple[FastAPI, Gateway]) -> None:
    """Letters beyond ASCII before the @ need a mail server with SMTPUTF8; a setting says whether there is one. After
    the @ they need nothing. An account that has such an address keeps it."""
    app, gateway = service
    fields = {"name": "Jörg", "password": PASSWORD}
    refused = await gateway.http.post("/v1/users", json=fields | {"email": "jörg@example.com"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unmailable_address")
    [error] = refused.json()["errors"]
    assert error["field"] == "email"
    assert "before the @" in error["message"]
    taken = await gateway.http.post("/v1/users", json=fields | {"email": f"{uuid4().hex}@müller-shop.de"})
    assert taken.status_code == 201
    person = await gateway.register()
    change = {"email": "jörg@example.com", "current_password": PASSWORD}
    changed = await gateway.call(person, "PATCH", "/v1/me", json=change)
    assert (changed.status_code, changed.json()["code"]) == (422, "unmailable_address")

    async with serving(app.state.settings.model_copy(update={"mail_smtputf8": True})) as (_, able):
        answer = await able.http.post("/v1/users", json=fields | {"email": "jörg@example.com"})
        assert answer.status_code == 201
    joerg = Person(UUID(answer.json()["id"]), answer.json()["email"])
    renamed = await gateway.call(joerg, "PATCH", "/v1/me", json={"name": "J.", "email": "jörg@EXAMPLE.com"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "J.")
    assert (await gateway.login("jörg@example.com")).status_code == 200


@pytest.mark.parametrize("extra", ["role", "id", "revision", "password_hash", "created_at"])
async def test_nobody_makes_themselves_an_administrator(gateway: Gateway, extra: str) -> None:
    """Protected fields are refused by name, at registration and afterwards."""
    body = {"email": f"{extra}@example.com", "name": "Eve", "password": PASSWORD, extra: "admin"}
    answer = await gateway.http.post("/v1/users", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, extra)
    person = await gateway.register()
    changed = await gateway.call(person, "PATCH", "/v1/me", json={extra: "admin"})
    assert (changed.status_code, changed.json()["errors"][0]["field"]) == (422, extra)


async def test_each_change_is_a_revision_and_only_visible_ones_are_events(gateway: Gateway, db: Database) -> None:
    """Changes of the name, and of the address once it is confirmed, are events, and those of the password are not; a
    request without a change is not a revision."""
    person = await gateway.verified(await gateway.newcomer())
    email = f"new-{person.email}"
    for change in (
        {"name": "Countess"},
        {"name": "Countess"},
        {},
        {"email": email, "current_password": PASSWORD},
    ):
        assert (await gateway.call(person, "PATCH", "/v1/me", json=change)).status_code == 200
    assert (await gateway.use(await gateway.token(person, "change", email))).status_code == 204
    for change in ({"password": "another password", "current_password": PASSWORD}, {"name": "Ada"}):
        assert (await gateway.call(person, "PATCH", "/v1/me", json=change)).status_code == 200
    assert await _events(db, person.id) == [
        ("user.registered", 1),
        ("user.credentials_revoked", None),
        ("user.updated", 2),
        ("user.updated", 3),
        ("user.updated", 5),
        ("user.updated", 7),
    ]
    me = (await gateway.call(person, "GET", "/v1/me")).json()
    assert (me["name"], me["email"]) == ("Ada", email)
    assert me["updated_at"] > me["created_at"]


@pytest.mark.parametrize("current", [{}, {"current_password": "not the password"}])
@pytest.mark.parametrize("change", [{"email": "taken-over@example.com"}, {"password": "another password"}])
async def test_address_and_password_change_only_with_the_password(
    gateway: Gateway, change: dict[str, str], current: dict[str, str]
) -> None:
    """Without the current password, or with a wrong one, the response is 422 and names it, and nothing changes."""
    person = await gateway.register()
    answer = await gateway.call(person, "PATCH", "/v1/me", json=change | current)
    assert (answer.status_code, answer.json()["code"]) == (422, "wrong_password")
    assert answer.json()["errors"][0]["field"] == "current_password"
    assert (await gateway.login(person.email)).status_code == 200


async def test_a_profile_cannot_take_the_address_of_another(gateway: Gateway) -> None:
    """A change to an address that another account has verified is 409; a change of the case of one's own is allowed."""
    person, other = await gateway.register(), await gateway.verified(await gateway.register())
    change = {"email": other.email, "current_password": PASSWORD}
    assert (await gateway.call(person, "PATCH", "/v1/me", json=change)).status_code == 409
    change = {"email": person.email.capitalize(), "current_password": PASSWORD}
    assert (await gateway.call(person, "PATCH", "/v1/me", json=change)).status_code == 200


async def test_concurrent_changes_are_all_counted(gateway: Gateway, db: Database) -> None:
    """Eight concurrent changes result in eight revisions, each with one event."""
    person = await gateway.register()
    names = [f"Name {n}" for n in range(8)]
    answers = await asyncio.gather(*(gateway.call(person, "PATCH", "/v1/me", json={"name": name}) for name in names))
    assert {answer.status_code for answer in answers} == {200}
    assert [revision for _, revision in await _events(db, person.id)] == list(range(1, 10))


async def test_a_deleted_account_leaves_nothing_but_its_event(gateway: Gateway, db: Database) -> None:
    """User, sessions and tokens are deleted, events with personal data are withdrawn, and `user.deleted` is newer than
    all."""
    person = await gateway.newcomer()
    await gateway.call(person, "PATCH", "/v1/me", json={"name": "Countess"})
    assert (await gateway.call(person, "DELETE", "/v1/me", json={"current_password": PASSWORD})).status_code == 204
    assert await _events(db, person.id) == [("user.deleted", 3)]
    assert (await gateway.refresh(person.refresh_token)).status_code == 401
    assert (await gateway.login(person.email)).status_code == 401
    for method, path in (
        ("GET", "/v1/me"),
        ("PATCH", "/v1/me"),
        ("DELETE", "/v1/me"),
        ("GET", f"/v1/users/{person.id}"),
    ):
        answer = await gateway.call(person, method, path, json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")


async def test_a_foreign_profile_is_missing_like_one_that_never_was(gateway: Gateway) -> None:
    """Another user's id and an unknown one have the same 404, except for the request's id."""
    person, other = await gateway.register(), await gateway.register()
    answers = [await gateway.call(person, "GET", f"/v1/users/{user_id}") for user_id in (other.id, new_id(now()))]
    bodies = [answer.json() for answer in answers]
    for body in bodies:
        del body["request_id"], body["trace_id"]
    assert bodies[0] == bodies[1]
    assert bodies[0]["status"] == 404


async def test_only_the_gateway_may_speak_for_a_user(gateway: Gateway) -> None:
    """Without the service token, or with another service's, every route is 401, and without a user as well."""
    person = await gateway.register()
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer nonsense"}):
        for method, path in (("GET", "/v1/me"), ("POST", "/v1/users"), ("POST", "/v1/tokens/refresh")):
            answer = await gateway.call(person, method, path, headers=headers, json={})
            assert answer.status_code == 401, path
    assert (await gateway.http.get("/v1/me")).status_code == 401
