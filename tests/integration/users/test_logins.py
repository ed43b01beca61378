"""Logging in, refreshing, logging out."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr

from services.users.errors import InvalidCredentials
from services.users.passwords import Passwords
from services.users.schemas import PasswordGrant
from services.users.sessions.repository import GRACE, Lifetimes
from services.users.sessions.service import Logins
from shared.db.engine import Database
from shared.http.tokens import UserTokens, key_id, public_keys, verify_user_token
from tests.support.backends.databases import NewDatabase
from tests.support.patience import PATIENCE_S
from tests.support.users import PASSWORD, Gateway, Person, serving, settings_for

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def _count(db: Database, table: str, person: Person) -> int:
    async with db.connection() as connection:
        count: int = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", person.id)
    return count


async def test_a_login_gives_an_access_token_that_the_jwks_verifies(gateway: Gateway) -> None:
    """The token names user, session and role. Its response must not be cached; that with the keys may be."""
    person = await gateway.register()
    answer = await gateway.login(person.email.upper())
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    pair = answer.json()
    assert pair.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (pair["token_type"], pair["expires_in"]) == ("bearer", 900)
    keys = await gateway.http.get("/.well-known/jwks.json", headers={"Authorization": ""})
    assert keys.headers["Cache-Control"] == "public, max-age=300"
    claims = verify_user_token(pair["access_token"], public_keys(keys.json())[key_id(pair["access_token"])])
    assert (claims.sub, claims.role) == (person.id, "user")


async def test_unknown_address_and_wrong_password_answer_the_same(gateway: Gateway) -> None:
    """Both are 401 with the same body, except for the request's id."""
    person = await gateway.register()
    answers = [await gateway.login(person.email, "wrong password"), await gateway.login("nobody@example.com")]
    bodies = [answer.json() for answer in answers]
    for body in bodies:
        del body["request_id"], body["trace_id"]
    assert bodies[0] == bodies[1]
    assert (bodies[0]["status"], bodies[0]["code"]) == (401, "invalid_credentials")


class RecordingHasher(Argon2Hasher):
    """Records the parameters of every hash that it verifies."""

    def __init__(self, time_cost: int = 1) -> None:
        super().__init__(time_cost, 8, 1)
        self.verified: list[str] = []

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002  the library's name
        self.verified.append(str(hash).rsplit("$", 2)[0])
        return super().verify(password, hash)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def logins_with(service: tuple[FastAPI, Gateway], pool: ThreadPoolExecutor) -> Callable[[RecordingHasher], Logins]:
    """Return logins for the service's database with another hasher."""
    state = service[0].state
    lifetimes = Lifetimes.of(state.settings)
    return lambda hasher: Logins(state.db, Passwords(hasher, pool, 4), state.user_tokens, lifetimes)


async def test_an_unknown_address_costs_a_verification_as_well(
    gateway: Gateway, logins_with: Callable[[RecordingHasher], Logins]
) -> None:
    """The hasher verifies once, with a hash of the usual parameters."""
    person = await gateway.register()
    hasher = RecordingHasher()
    logins = logins_with(hasher)
    for email in (person.email, "nobody@example.com"):
        with pytest.raises(InvalidCredentials):
            await logins.login(PasswordGrant(username=email, password="wrong password"))
    assert len(hasher.verified) == 2
    assert len(set(hasher.verified)) == 1


async def test_a_hash_by_old_parameters_is_renewed_at_login(
    gateway: Gateway, db: Database, logins_with: Callable[[RecordingHasher], Logins]
) -> None:
    """The stored hash has the new parameters afterwards, and still matches the password; the revision does not
    change."""
    person = await gateway.register()
    await logins_with(RecordingHasher(time_cost=2)).login(PasswordGrant(username=person.email, password=PASSWORD))
    async with db.connection() as connection:
        row = await connection.fetchrow("SELECT password_hash, revision FROM users WHERE id = $1", person.id)
    assert row is not None
    assert "$m=8,t=2,p=1$" in row["password_hash"]
    assert row["revision"] == 1
    assert (await gateway.login(person.email)).status_code == 200


@pytest.mark.parametrize("request_of", [lambda body: {"json": body}, lambda body: {"data": body}], ids=["json", "form"])
async def test_a_refresh_token_is_exchanged(gateway: Gateway, request_of: Callable[[Any], Any]) -> None:
    """As JSON and as a form, the response has new tokens of the same session, and the new refresh token works in
    turn."""
    person = await gateway.newcomer()
    body = {"grant_type": "refresh_token", "refresh_token": person.refresh_token}
    answer = await gateway.http.post("/v1/tokens/refresh", **request_of(body))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json()["refresh_token"] != person.refresh_token
    assert (await gateway.refresh(answer.json()["refresh_token"])).status_code == 200


async def test_a_refresh_whose_answer_was_lost_is_repeated(gateway: Gateway, db: Database) -> None:
    """The response is always the same successor. The session continues, and no theft is reported."""
    person = await gateway.newcomer()
    answers = [(await gateway.refresh(person.refresh_token)).json() for _ in range(3)]
    assert len({answer["refresh_token"] for answer in answers}) == 1
    assert (await gateway.refresh(answers[0]["refresh_token"])).status_code == 200
    assert await _count(db, "sessions", person) == 1


async def test_tabs_that_refresh_at_once_stay_in(gateway: Gateway) -> None:
    """Eight concurrent exchanges return the same successor, three times over."""
    token = (await gateway.newcomer()).refresh_token
    for _ in range(3):
        answers = await asyncio.gather(*(gateway.refresh(token) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        [token] = {answer.json()["refresh_token"] for answer in answers}


async def test_a_refresh_token_that_comes_back_ends_its_session(gateway: Gateway, db: Database) -> None:
    """This applies once its successor was used, and always after the grace period; the user's other session is not
    affected."""
    person = await gateway.newcomer()
    other = await gateway.logged_in(person)
    successor = (await gateway.refresh(person.refresh_token)).json()["refresh_token"]
    last = (await gateway.refresh(successor)).json()["refresh_token"]
    for token in (person.refresh_token, last):
        answer = await gateway.refresh(token)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_refresh_token")
    assert (await gateway.refresh(other.refresh_token)).status_code == 200
    assert await _count(db, "sessions", person) == 1


async def test_a_refresh_token_that_comes_back_after_the_grace_ends_its_session(gateway: Gateway, db: Database) -> None:
    """This applies even if the successor was never used."""
    person = await gateway.newcomer()
    successor = (await gateway.refresh(person.refresh_token)).json()["refresh_token"]
    async with db.connection() as connection:
        late = "UPDATE refresh_tokens SET used_at = used_at - $2::interval WHERE user_id = $1"
        await connection.execute(late, person.id, GRACE + timedelta(seconds=1))
    for token in (person.refresh_token, successor):
        assert (await gateway.refresh(token)).status_code == 401


async def test_refresh_and_logout_at_once_do_not_deadlock(gateway: Gateway) -> None:
    """Whichever is first, both are answered, and nothing remains that could be refreshed."""
    for _ in range(10):
        person = await gateway.newcomer()
        refreshed, left = await asyncio.gather(
            gateway.refresh(person.refresh_token), gateway.call(person, "DELETE", "/v1/tokens")
        )
        assert left.status_code == 204
        assert refreshed.status_code in (200, 401)
        token = refreshed.json().get("refresh_token", person.refresh_token)
        assert (await gateway.refresh(token)).status_code == 401


@pytest.mark.parametrize("token", ["x", "é", "A" * 86, "A" * 255, "....", "====", "%00"])
async def test_what_is_no_refresh_token_is_refused(gateway: Gateway, token: str) -> None:
    """The response is always 401."""
    assert (await gateway.refresh(token)).status_code == 401


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422),
        ({"content": b'{"refresh_token": "\\ud800"}', "headers": {"Content-Type": "application/json"}}, 422),
        ({"json": {"refresh_token": "a\0b"}}, 422),
        ({"json": {"refresh_token": ["x"]}}, 422),
        ({"json": {"refresh_token": "x", "role": "admin"}}, 422),
        ({"json": []}, 422),
        ({"data": {"refresh_token": "x" * 256}}, 422),
        ({"data": {}, "headers": FORM}, 422),
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
        ({}, 415),
    ],
)
async def test_a_refresh_that_cannot_be_read_is_explained(
    gateway: Gateway, request_: dict[str, Any], status: int
) -> None:
    """The response is 422 for an invalid body and 415 for an unsupported type, both as problems."""
    answer = await gateway.http.post("/v1/tokens/refresh", **request_)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


async def test_logout_ends_this_session_only(gateway: Gateway) -> None:
    """The response is 204, also the second time. The refresh token is invalid, and another session continues."""
    person = await gateway.newcomer()
    other = await gateway.logged_in(person)
    for _ in range(2):
        assert (await gateway.call(person, "DELETE", "/v1/tokens")).status_code == 204
    assert (await gateway.refresh(person.refresh_token)).status_code == 401
    assert (await gateway.refresh(other.refresh_token)).status_code == 200


async def test_a_new_password_ends_all_other_sessions(gateway: Gateway) -> None:
    """The session that changed it continues. The old password is invalid, and the new one works."""
    person = await gateway.newcomer()
    other = await gateway.logged_in(person)
    change = {"password": "another password", "current_password": PASSWORD}
    assert (await gateway.call(person, "PATCH", "/v1/me", json=change)).status_code == 200
    assert (await gateway.refresh(other.refresh_token)).status_code == 401
    assert (await gateway.refresh(person.refresh_token)).status_code == 200
    assert (await gateway.login(person.email)).status_code == 401
    assert (await gateway.login(person.email, "another password")).status_code == 200


async def _let_time_pass(db: Database, person: Person, days: int) -> None:
    """Make the person's sessions and tokens this many days older."""
    async with db.connection() as connection:
        for table, columns in (("sessions", ("created_at", "expires_at")), ("refresh_tokens", ("created_at",))):
            shifts = ", ".join(f"{column} = {column} - $2::interval" for column in columns)
            await connection.execute(f"UPDATE {table} SET {shifts} WHERE user_id = $1", person.id, timedelta(days=days))


async def test_a_session_that_is_not_used_expires_and_is_cleared_away(gateway: Gateway, db: Database) -> None:
    """After 31 days the token is 401, and after the next login only its own session and token exist."""
    person = await gateway.newcomer()
    await gateway.refresh(person.refresh_token)
    await _let_time_pass(db, person, days=31)
    assert (await gateway.refresh(person.refresh_token)).status_code == 401
    await gateway.logged_in(person)
    assert [await _count(db, table, person) for table in ("sessions", "refresh_tokens")] == [1, 1]


async def test_a_session_in_use_ends_after_its_lifetime(gateway: Gateway, db: Database) -> None:
    """If refreshed every 20 days it lives for 80, not for 100; used tokens are deleted once they are invalid anyway."""
    person = await gateway.newcomer()
    token = person.refresh_token
    for _ in range(4):
        await _let_time_pass(db, person, days=20)
        token = (await gateway.refresh(token)).json()["refresh_token"]
    assert await _count(db, "refresh_tokens", person) == 2
    await _let_time_pass(db, person, days=20)
    assert (await gateway.refresh(token)).status_code == 401


async def test_a_login_form_that_cannot_be_read_is_explained(gateway: Gateway) -> None:
    """Bounds, NUL, unknown fields and an unsupported grant type are 422 and name the field."""
    good = {"username": "ada@example.com", "password": PASSWORD}
    for field, value in (
        ("username", "x" * 255),
        ("username", "a\0b"),
        ("password", "x" * 129),
        ("password", "a\0b"),
        ("grant_type", "client_credentials"),
        ("role", "admin"),
        ("scope", "x" * 256),
    ):
        answer = await gateway.http.post("/v1/tokens", data=good | {field: value})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    files = {"username": ("x", b"x"), "password": ("y", b"y")}
    assert (await gateway.http.post("/v1/tokens", files=files)).status_code == 422
    assert (await gateway.http.post("/v1/tokens", json=good)).status_code == 422


async def test_too_many_password_checks_are_refused(new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one thread and no queue, logins during a password check are 503 with Retry-After. The checked one succeeds,
    and so does a later one."""
    settings = settings_for(new_database("users"), hash_threads=1, hash_queue=0)
    checking, may_go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    verifies = Argon2Hasher.verify

    def verify(hasher: Argon2Hasher, *given: Any) -> bool:
        loop.call_soon_threadsafe(checking.set)
        may_go_on.wait(PATIENCE_S)
        return verifies(hasher, *given)

    monkeypatch.setattr(Argon2Hasher, "verify", verify)
    async with serving(settings) as (_, gateway):
        person = await gateway.register()
        first = asyncio.create_task(gateway.login(person.email))
        await checking.wait()
        refused = await asyncio.gather(*(gateway.login(person.email) for _ in range(7)))
        may_go_on.set()
        assert {(answer.status_code, answer.headers["Retry-After"]) for answer in refused} == {(503, "1")}
        assert (await first).status_code == 200
        assert (await gateway.login(person.email)).status_code == 200


async def test_tokens_of_a_retired_key_are_still_verified(new_database: NewDatabase) -> None:
    """The JWKS has every configured key; new tokens are signed with the first."""
    seeds = ["A" * 43, "B" * 42 + "A"]
    settings = settings_for(new_database("users")).model_copy(update={"signing_keys": SecretStr(",".join(seeds))})
    async with serving(settings) as (_, gateway):
        jwks = (await gateway.http.get("/.well-known/jwks.json")).json()
        assert [key["kid"] for key in jwks["keys"]] == [key["kid"] for key in UserTokens(seeds, 60).jwks["keys"]]
        pair = (await gateway.login((await gateway.register()).email)).json()
        assert key_id(pair["access_token"]) == jwks["keys"][0]["kid"]
        assert not any("d" in key for key in jwks["keys"])
