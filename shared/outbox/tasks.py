"""Durable background tasks: a task is added in a transaction, and runs if and only if that commits.

@router.post("/v1/orders/{order_id}/receipt", status_code=202)
async def request_receipt(order_id: UUID, tasks: TasksDep) -> None:
    tasks.add_task(SendReceipt(order_id=order_id), delay=timedelta(hours=1))
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession

from shared.clock import now
from shared.contracts.tasks import Task
from shared.db.dependency import DatabaseDep
from shared.db.engine import Connection
from shared.outbox import outbox

MAX_KEY = 200
FURTHEST = timedelta(days=366)
"""Tasks may be due this long from now, at most: the worker keeps them until then."""


class InvalidTask(ValueError):
    """The arguments of `add_task` are invalid."""


class DurableTasks:
    """Adds tasks in the transaction of an SQLAlchemy session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add_task(
        self, task: Task, *, delay: timedelta | None = None, at: datetime | None = None, key: str | None = None
    ) -> UUID:
        """Add a task, and return its id.

        It is due at once, after `delay`, or `at` a time with an offset; a time in the past means at once. Of all tasks
        with the same type and `key` that are committed before one of them starts, one runs. The others end as
        `suppressed`. Raises `InvalidTask`.
        """
        row = outbox.row(task)
        self._add(row, _due_at(delay, at), _checked(key))
        return row.id

    def _add(self, row: outbox.Row, due_at: datetime | None, key: str | None) -> None:
        """The session inserts it before its transaction commits."""
        values = row._asdict() | {"payload": msgspec.json.decode(row.payload)}
        self._session.add(outbox.OutboxRow(**values, due_at=due_at, key=key))


class ConnectionTasks(DurableTasks):
    """Adds tasks in the transaction of an asyncpg connection: collects them until `flush`."""

    def __init__(self) -> None:
        self._rows: list[tuple[object, ...]] = []

    def _add(self, row: outbox.Row, due_at: datetime | None, key: str | None) -> None:
        self._rows.append((*row, due_at, key))

    async def flush(self, connection: Connection) -> None:
        """Insert the tasks that have been added, in the order in which they were added."""
        rows, self._rows = self._rows, []
        if rows:
            await connection.executemany(outbox.INSERT_TASK, rows)


def _due_at(delay: timedelta | None, at: datetime | None) -> datetime | None:
    if delay is not None and at is not None:
        raise InvalidTask("give either delay or at")
    if at is not None and at.tzinfo is None:
        raise InvalidTask("at needs a time zone")
    if delay is not None:
        if delay > FURTHEST:
            raise InvalidTask(f"delay is more than {FURTHEST.days} days")
        at = now() + delay
    if at is not None and at > now() + FURTHEST:
        raise InvalidTask(f"at is more than {FURTHEST.days} days from now")
    return at


def _checked(key: str | None) -> str | None:
    if key is not None and (not key or len(key) > MAX_KEY or "\0" in key):
        raise InvalidTask(f"key must have 1 to {MAX_KEY} characters, and no NUL")
    return key


async def _session(db: DatabaseDep) -> AsyncIterator[AsyncSession]:
    async with db.begin() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(_session, scope="function")]
"""A transaction of `app.state.db`, which is committed before the response is sent."""


def _tasks(session: SessionDep) -> DurableTasks:
    return DurableTasks(session)


TasksDep = Annotated[DurableTasks, Depends(_tasks, scope="function")]
"""Tasks in the transaction of `SessionDep`, which FastAPI shares between the parameters of one request."""
