"""`DurableTasks` as a dependency of a FastAPI application."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI, HTTPException

from shared.clock import now
from shared.contracts.tasks import Task
from shared.db.engine import Database
from shared.outbox.tasks import FURTHEST, MAX_KEY, ConnectionTasks, InvalidTask, SessionDep, TasksDep
from tests.support.patience import PATIENCE_S


class BakeBread(Task, frozen=True, kw_only=True):
    loaf: int


class Unexpected(Exception):
    """A bug in a route."""


def bakery(db: Database) -> FastAPI:
    app = FastAPI()
    app.state.db = db

    @app.post("/bread/{loaf}")
    async def bake(loaf: int, session: SessionDep, tasks: TasksDep, fails: str = "") -> UUID:
        await session.execute(sa.text("INSERT INTO loaves VALUES (:loaf)"), {"loaf": loaf})
        task_id = tasks.add_task(BakeBread(loaf=loaf))
        if fails == "refused":
            raise HTTPException(409)
        if fails == "bug":
            raise Unexpected
        if fails == "database":
            await session.execute(sa.text("SELECT 1 / 0"))
        return task_id

    @app.post("/plain")
    async def plain(tasks: TasksDep) -> UUID:
        return tasks.add_task(BakeBread(loaf=0))

    return app


@pytest.fixture
async def http(db: Database) -> AsyncIterator[httpx.AsyncClient]:
    await db.pool.execute("CREATE TABLE loaves (loaf integer PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)")
    transport = httpx.ASGITransport(bakery(db), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://bakery", timeout=PATIENCE_S) as http:
        yield http


async def written(db: Database) -> tuple[list[int], list[UUID]]:
    loaves = [row["loaf"] for row in await db.pool.fetch("SELECT loaf FROM loaves ORDER BY loaf")]
    return loaves, [row["id"] for row in await db.pool.fetch("SELECT id FROM outbox ORDER BY id")]


async def test_a_task_is_committed_with_the_request(http: httpx.AsyncClient, db: Database) -> None:
    """Session and tasks of a route share a transaction, which is committed before the response."""
    answer = await http.post("/bread/1")
    assert answer.status_code == 200
    assert await written(db) == ([1], [UUID(answer.json())])
    [row] = await db.pool.fetch("SELECT type, payload, due_at, key FROM outbox")
    assert (row["type"], row["due_at"], row["key"]) == ("task.bake_bread", None, None)


async def test_a_route_may_ask_for_tasks_alone(http: httpx.AsyncClient, db: Database) -> None:
    """Then the transaction has nothing but the task."""
    answer = await http.post("/plain")
    assert await written(db) == ([], [UUID(answer.json())])


@pytest.mark.parametrize(("fails", "status"), [("refused", 409), ("bug", 500), ("database", 500)])
async def test_a_task_is_rolled_back_with_the_request(
    http: httpx.AsyncClient, db: Database, fails: str, status: int
) -> None:
    """An error response of the route, a bug, and a statement that fails."""
    assert (await http.post("/bread/1", params={"fails": fails})).status_code == status
    assert await written(db) == ([], [])


async def test_a_commit_that_fails_is_no_success(http: httpx.AsyncClient, db: Database) -> None:
    """The response follows the commit: a constraint that is checked at the commit makes it an error."""
    first = await http.post("/bread/1")
    assert (await http.post("/bread/1")).status_code == 500
    assert await written(db) == ([1], [UUID(first.json())])


FAR = FURTHEST + timedelta(days=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delay": timedelta(1), "at": datetime(2030, 1, 1, tzinfo=UTC)}, "give either delay or at"),
        ({"at": datetime(2030, 1, 1)}, "at needs a time zone"),  # noqa: DTZ001  the mistake
        ({"delay": FAR}, "delay is more than 366 days"),
        ({"delay": timedelta.max}, "delay is more than 366 days"),
        ({"key": ""}, "key must have 1 to 200 characters"),
        ({"key": "k" * (MAX_KEY + 1)}, "key must have 1 to 200 characters"),
        ({"key": "a\0b"}, "no NUL"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """When the task is added, and before anything is written."""
    with pytest.raises(InvalidTask, match=message):
        ConnectionTasks().add_task(BakeBread(loaf=1), **arguments)


def test_a_time_that_is_too_far_away_is_refused() -> None:
    """The worker keeps a task until it is due."""
    with pytest.raises(InvalidTask, match="at is more than 366 days from now"):
        ConnectionTasks().add_task(BakeBread(loaf=1), at=now() + FAR)


@pytest.mark.parametrize(
    "arguments",
    [
        {"key": "k" * MAX_KEY},
        {"key": "schlüssel 灯"},
        {"delay": timedelta(0)},
        {"delay": timedelta(-1)},
        {"delay": FURTHEST},
    ],
)
def test_what_is_just_possible_is_accepted(arguments: dict[str, Any]) -> None:
    """A time in the past means at once."""
    assert ConnectionTasks().add_task(BakeBread(loaf=1), **arguments)
