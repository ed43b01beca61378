"""The panel `user`, as the gateway requests it."""

import asyncio

from fastapi import FastAPI

from shared.clock import now
from shared.db.engine import Database
from shared.ids import new_id
from tests.support.users import Gateway
from tests.support.waiting import eventually

PANEL = "/internal/panels/user"


async def test_panels_of_several_users(gateway: Gateway) -> None:
    """Panels have exactly the contract's fields, with the values of the profile; ids without a user are missing."""
    people = [await gateway.register(name='Ada "the first" 🙂 \\'), await gateway.register()]
    unknown = str(new_id(now()))
    ids = [str(person.id) for person in people] + [unknown]
    answer = (await gateway.http.post(PANEL, json={"ids": ids})).json()
    assert answer["missing"] == [unknown]
    for person in people:
        profile = (await gateway.call(person, "GET", "/v1/me")).json()
        fields = ("id", "email", "name", "avatar_url", "created_at")
        assert answer["items"][str(person.id)] == {field: profile[field] for field in fields}


async def test_a_panel_needs_a_service_token(gateway: Gateway) -> None:
    """The response is 401 without one."""
    answer = await gateway.http.post(PANEL, json={"ids": [str(new_id())]}, headers={"Authorization": ""})
    assert answer.status_code == 401


async def test_a_panel_that_takes_too_long_is_given_up(service: tuple[FastAPI, Gateway], db: Database) -> None:
    """While the table is locked the response is 503 at the deadline, and the statement no longer runs in the server."""
    gateway = service[1]
    running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async def nothing_waits() -> bool:
        async with db.connection() as connection:
            waiting: int = await connection.fetchval(running)
        return waiting == 0

    async with db.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE users")
        headers = {"Request-Deadline-Ms": "50"}
        async with asyncio.timeout(45):
            answer = await gateway.http.post(PANEL, json={"ids": [str(new_id())]}, headers=headers)
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
        await eventually(nothing_waits)
