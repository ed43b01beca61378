"""The audit log: who did what to whom; it cannot be changed."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from services.users.accounts.administration import list_accounts, list_operators, promote
from services.users.audit import repository as audit
from shared.clock import now
from shared.db.engine import Database
from shared.ids import new_id
from tests.support.backends.databases import NewDatabase
from tests.support.statements import statements
from tests.support.users import PASSWORD, Gateway, Person, serving, settings_for

KEEP_S = 400 * 86_400

FROM = {"X-Forwarded-For": "203.0.113.7", "X-Request-Id": "asked-by-a-test"}


async def entries(gateway: Gateway, role: Any = "support", **query: Any) -> list[dict[str, Any]]:
    reader = Person(new_id(), "", role)
    answer = await gateway.call(reader, "GET", "/v1/admin/audit", params=query)
    found: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return found


async def test_sign_ins_are_written_down(gateway: Gateway) -> None:
    """The log has user, time, address and request of successful sign-ins, failed ones, and sign-outs."""
    person = await gateway.register()
    form = {"username": person.email, "password": "wrong password"}
    assert (await gateway.http.post("/v1/tokens", data=form, headers=FROM)).status_code == 401
    signed_in = await gateway.logged_in(person)
    assert (await gateway.call(signed_in, "DELETE", "/v1/tokens")).status_code == 204
    out, came, failed = await entries(gateway, subject_id=str(person.id))
    assert (out["action"], came["action"], failed["action"]) == ("signed_out", "signed_in", "sign_in_failed")
    assert (came["actor_id"], came["actor_role"], failed["actor_id"]) == (str(person.id), "user", None)
    assert (failed["address"], failed["request_id"]) == ("203.0.113.7", "asked-by-a-test")


async def test_an_unknown_address_costs_the_same_statements(gateway: Gateway, db: Database) -> None:
    """An unknown address costs the same as a wrong password: neither the response nor the work reveals whether an
    account exists."""
    person = await gateway.register()
    asked, bodies = [], []
    for email in (person.email, f"{uuid4().hex}@example.com"):
        async with statements(db) as seen:
            answer = await gateway.login(email, "wrong password")
        asked.append(list(seen))
        bodies.append({k: v for k, v in answer.json().items() if k not in ("request_id", "trace_id")})
    assert asked[0] == asked[1] != []
    assert bodies[0] == bodies[1]


async def test_what_ends_sessions_is_written_down(gateway: Gateway) -> None:
    """The log has changes of password and address, and the reuse of a refresh token."""
    person = await gateway.newcomer()
    change = {"email": f"{uuid4().hex}@example.com", "password": "another horse", "current_password": PASSWORD}
    assert (await gateway.call(person, "PATCH", "/v1/me", json=change)).status_code == 200
    successor = (await gateway.refresh(person.refresh_token)).json()["refresh_token"]
    assert (await gateway.refresh(successor)).status_code == 200
    assert (await gateway.refresh(person.refresh_token)).status_code == 401
    actions = {entry["action"] for entry in await entries(gateway, subject_id=str(person.id))}
    assert actions >= {"password_changed", "email_change_requested", "refresh_token_reused"}
    assert (await gateway.use(await gateway.token(person, "change", change["email"]))).status_code == 204
    assert "email_changed" in {entry["action"] for entry in await entries(gateway, subject_id=str(person.id))}


async def test_the_gateway_adds_what_operators_do_elsewhere(gateway: Gateway) -> None:
    """The gateway adds entries for the caller that it names; other services cannot add any."""
    admin, subject = Person(new_id(), "", "admin"), new_id()
    entry = {"action": "POST /v1/orders/{id}/ship", "subject_id": str(subject), "detail": "id=1"}
    assert (await gateway.call(admin, "POST", "/internal/audit", json=entry, headers=FROM)).status_code == 204
    (found,) = await entries(gateway, actor_id=str(admin.id))
    assert {name: found[name] for name in entry} == entry
    assert (found["actor_role"], found["address"]) == ("admin", "203.0.113.7")
    refused = await gateway.call(admin, "POST", "/internal/audit", json=entry, headers={"Authorization": ""})
    assert refused.status_code == 401


async def test_only_operators_read_it(gateway: Gateway) -> None:
    """Users receive 403. There are pages with cursors, filters without matches, and 422 for invalid filters."""
    person = await gateway.newcomer()
    assert (await gateway.call(person, "GET", "/v1/admin/audit")).status_code == 403
    reader = Person(new_id(), "", "support")
    first = (await gateway.call(reader, "GET", "/v1/admin/audit", params={"limit": 1})).json()
    second = await gateway.call(reader, "GET", "/v1/admin/audit", params={"limit": 1, "cursor": first["next_cursor"]})
    assert second.json()["items"][0]["id"] < first["items"][0]["id"]
    assert await entries(gateway, action="no such action") == []
    wrong = await gateway.call(reader, "GET", "/v1/admin/audit", params={"actor_id": "x"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "actor_id")


@pytest.mark.parametrize("change", ["UPDATE audit SET action = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
async def test_it_is_only_added_to(gateway: Gateway, db: Database, change: str) -> None:
    """The database refuses to change, delete or truncate the log."""
    await gateway.newcomer()
    async with db.connection() as connection:
        with pytest.raises(asyncpg.RaiseError, match="neither changed nor deleted"):
            await connection.execute(change)


async def test_a_deleted_user_leaves_no_address(gateway: Gateway) -> None:
    """The user's actions stay, under an id that no longer belongs to a person; their addresses are removed."""
    person = await gateway.newcomer()
    assert (
        await gateway.call(person, "DELETE", "/v1/me", json={"current_password": PASSWORD}, headers=FROM)
    ).status_code == 204
    found = await entries(gateway, subject_id=str(person.id))
    assert [entry["action"] for entry in found] == ["account_deleted", "signed_in"]
    assert {entry["address"] for entry in found} == {None}


async def test_the_end_of_it_is_deleted(db: Database) -> None:
    """Entries older than the setting are deleted, oldest first; the rest stays."""
    long_ago = now() - timedelta(days=500)
    old, young, slow, fast = new_id(long_ago), new_id(), new_id(long_ago), new_id(now() + timedelta(days=500))
    """The last two are entries of processes with a wrong clock: `created_at` is the database's."""
    insert = "INSERT INTO audit (id, action, created_at) VALUES ($1, 'x', coalesce($2, now()))"
    async with db.connection() as connection:
        await connection.executemany(insert, [(old, long_ago), (young, None), (slow, None), (fast, None)])
    await audit.expire(db, keep_s=KEEP_S)
    async with db.connection() as connection:
        left = await connection.fetch("SELECT id FROM audit WHERE id = ANY($1)", [old, young, slow, fast])
    assert {row["id"] for row in left} == {young, slow, fast}


async def test_a_sweep_deletes_a_tenth_at_most_and_says_so(new_database: NewDatabase) -> None:
    """If everything looks old by mistake, there is time to notice it."""
    settings = settings_for(new_database("users"))
    long_ago = now() - timedelta(days=500)
    async with Database.open(settings) as db:
        insert = "INSERT INTO audit (id, action, created_at) VALUES ($1, 'x', $2)"
        async with db.connection() as connection:
            await connection.executemany(insert, [(new_id(long_ago), long_ago) for _ in range(500)])
            with capture_logs() as logs:
                await audit.expire(db, keep_s=KEEP_S)
            assert await connection.fetchval("SELECT count(*) FROM audit") == 450
        assert [(entry["table"], entry["rows"]) for entry in logs if "sweep" in entry["event"]] == [("audit", 500)]


async def test_an_account_becomes_an_operators(new_database: NewDatabase) -> None:
    """The command works on the database. It takes effect at the next sign-in, which it requires, and is recorded."""
    url = new_database("users")
    async with serving(settings_for(url)) as (_app, gateway):
        person = await gateway.newcomer()
        assert (await promote(url, person.email.upper(), "support", "ann@shell")) == (person.id, "user")
        assert (await gateway.refresh(person.refresh_token)).status_code == 401
        again = await gateway.logged_in(person)
        me = await gateway.call(again, "GET", "/v1/me")
        assert me.json()["role"] == "support"
        other = await gateway.newcomer()
        assert [one.id for one in await list_operators(url)] == [person.id]
        assert [one.id for one in await list_accounts(url, 10)] == [other.id, person.id]
        assert [one.id for one in await list_accounts(url, 1)] == [other.id]
        assert (await promote(url, person.email, "support", "ann@shell"))[1] == "support"
        found = await entries(gateway, action="role_changed")
        assert [entry["detail"] for entry in found] == ["user -> support, by ann@shell"]


async def test_entries_of_a_time(gateway: Gateway, db: Database) -> None:
    """Both limits are the database's times, whatever the clock said of the process that wrote an entry. The limits may
    be any time."""
    subject, day = new_id(), timedelta(days=1)
    times = [now() - 3 * day, now() - 2 * day, now() - day]
    insert = "INSERT INTO audit (id, action, subject_id, created_at) VALUES ($1, 'x', $2, $3)"
    async with db.connection() as connection:
        rows = [(new_id(at + timedelta(minutes=50 * (place - 1))), subject, at) for place, at in enumerate(times)]
        await connection.executemany(insert, rows)

    async def found(**limits: str) -> list[str]:
        return [entry["id"] for entry in await entries(gateway, subject_id=str(subject), **limits)]

    third, second, first = await found()
    assert await found(**{"from": times[1].isoformat()}) == [third, second]
    assert await found(to=times[1].isoformat()) == [first]
    assert await found(**{"from": times[1].isoformat(), "to": times[2].isoformat()}) == [second]
    assert await found(**{"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}) == [third, second, first]
