"""Users as operators see them, and the repository."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from services.users.accounts import service as accounts
from services.users.repository import UserRepository
from shared.clock import now
from shared.db.engine import Database
from shared.http.tokens import Role
from shared.ids import new_id
from tests.support.users import Gateway, Person
from tests.support.waiting import eventually

NDJSON = {"Accept": "application/x-ndjson"}


async def _everyone(gateway: Gateway, reader: Person, limit: int) -> list[dict[str, Any]]:
    """Return all users by following `next_cursor` to the end."""
    users: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await gateway.call(reader, "GET", "/v1/users", params={"limit": limit} | cursor)
        page = answer.raise_for_status().json()
        assert len(page["items"]) <= limit
        users += page["items"]
        if page["next_cursor"] is None:
            return users
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
async def test_pages_together_are_the_list(alone: tuple[FastAPI, Gateway], limit: int) -> None:
    """Each of five users is listed once, newest first, with any page size; the last page has no cursor."""
    people = [await alone[1].register() for _ in range(5)]
    listed = await _everyone(alone[1], people[0].having("support"), limit)
    assert [user["id"] for user in listed] == [str(person.id) for person in reversed(people)]


async def test_the_stream_is_the_whole_list(alone: tuple[FastAPI, Gateway]) -> None:
    """As NDJSON every user is one line, the same as on the pages; the count is their number."""
    gateway = alone[1]
    admin = (await gateway.register()).having("admin")
    await asyncio.gather(*(gateway.register() for _ in range(4)))
    answer = await gateway.call(admin, "GET", "/v1/users", headers=NDJSON)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == await _everyone(gateway, admin, 100)
    assert (await gateway.call(admin, "GET", "/v1/users/count")).json() == {"count": 5}


@pytest.mark.parametrize("page_size", [1, 2, 5, 6])
async def test_the_repository_walks_over_all_pages(alone: tuple[FastAPI, Gateway], page_size: int) -> None:
    """Every user is read once, in pages of at most the requested size, without holding a connection in between."""
    app, gateway = alone
    people = [await gateway.register() for _ in range(5)]
    seen = []
    async for page in UserRepository.iterate(app.state.db, page_size):
        assert 0 < len(page) <= page_size
        await eventually(lambda: app.state.db.engine.pool.checkedout() == 0)  # background tasks take some for a moment
        seen += [user.id for user in page]
    assert seen == [person.id for person in reversed(people)]


async def test_an_empty_list(alone: tuple[FastAPI, Gateway], gateway: Gateway) -> None:
    """Without users there are an empty page, an empty stream and a count of 0."""
    admin = (await gateway.register()).having("admin")
    assert (await alone[1].call(admin, "GET", "/v1/users")).json() == {"items": [], "next_cursor": None}
    assert (await alone[1].call(admin, "GET", "/v1/users", headers=NDJSON)).text == ""
    assert (await alone[1].call(admin, "GET", "/v1/users/count")).json() == {"count": 0}


async def test_a_user_is_found_by_address(gateway: Gateway) -> None:
    """Exactly the matching user is found, in any case; an unknown address results in an empty page."""
    person = await gateway.register()
    admin = person.having("admin")
    for email, found in ((person.email.upper(), [str(person.id)]), ("nobody@example.com", [])):
        answer = await gateway.call(admin, "GET", "/v1/users", params={"email": email})
        assert [user["id"] for user in answer.json()["items"]] == found


@pytest.mark.parametrize("path", ["/v1/users", "/v1/users/count"])
async def test_lists_are_for_operators(gateway: Gateway, path: str) -> None:
    """Users receive 403. Support and administrators may read lists and other users' profiles."""
    person, other = await gateway.register(), await gateway.register()
    assert (await gateway.call(person, "GET", path)).status_code == 403
    operators: list[Role] = ["support", "admin"]
    for role in operators:
        assert (await gateway.call(person.having(role), "GET", path)).status_code == 200
        assert (await gateway.call(person.having(role), "GET", f"/v1/users/{other.id}")).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "cursor=!!!!",
        "cursor=%C3%A9",
        "email=%00",
        "email=x",
        "email=a%00@b.cd",
    ],
)
async def test_a_query_that_cannot_be_read_is_explained(gateway: Gateway, query: str) -> None:
    """The response is 422 and names the parameter."""
    admin = (await gateway.register()).having("admin")
    answer = await gateway.call(admin, "GET", f"/v1/users?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, query.partition("=")[0])


async def test_demo_data_is_registered_in_the_past(db: Database, gateway: Gateway) -> None:
    """Role and time are as given, and the id is sorted by that time."""
    moment = now().replace(microsecond=0) - timedelta(days=400)
    async with db.begin() as session:
        user = await accounts.register(
            session, email="old@example.com", name="Old", password_hash="-", role="admin", created_at=moment
        )
    answer = await gateway.call(Person(user.id, user.email), "GET", "/v1/me")
    profile = answer.json()
    assert profile["role"] == "admin"
    assert datetime.fromisoformat(profile["created_at"]) == moment
    assert datetime.fromtimestamp((user.id.int >> 80) / 1000, UTC) == moment


async def test_a_user_is_found_by_the_beginning_of_the_address_or_by_id(gateway: Gateway) -> None:
    """The beginning is compared without case and has no wildcards; support may search."""
    person, _ = await gateway.register(), await gateway.register()
    support = Person(person.id, person.email, "support")

    async def found(q: str) -> list[str]:
        answer = await gateway.call(support, "GET", "/v1/users", params={"q": q})
        return [item["id"] for item in answer.raise_for_status().json()["items"]]

    assert await found(person.email[:12].upper()) == [str(person.id)]
    assert await found(person.email.partition("@")[0]) == [str(person.id)]  # which could be an id, too
    assert await found(str(person.id)) == [str(person.id)]
    assert await found(f"%{person.email[1:]}") == []
    assert await found(f"{person.email}x") == []
    assert (await gateway.call(support, "GET", "/v1/users", params={"q": "a\0"})).status_code == 422


async def test_an_account_as_operators_see_it(gateway: Gateway) -> None:
    """It has the number of open sessions; others are refused, and an unknown id is 404."""
    person = await gateway.newcomer()
    path = f"/v1/admin/users/{person.id}"
    shown = (await gateway.call(person.having("support"), "GET", path)).raise_for_status().json()
    assert (shown["email"], shown["suspended_at"], shown["sessions"]) == (person.email, None, 1)
    assert (await gateway.call(person, "GET", path)).status_code == 403
    answer = await gateway.call(person.having("support"), "GET", f"/v1/admin/users/{new_id()}")
    assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")
