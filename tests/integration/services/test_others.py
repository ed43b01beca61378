"""Another user's data, read directly from each service with the gateway's token."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from shared.db.engine import Database
from shared.ids import new_id
from tests.support.services.description import Call, Service, Somebody, Thing
from tests.support.services.every import EVERY
from tests.support.statements import assert_hidden


def ways() -> Iterator[tuple[Service, Thing, Call]]:
    return ((service, thing, call) for service in EVERY for thing in service.things for call in thing.calls)


@pytest.mark.parametrize(
    ("service", "thing", "call"), [pytest.param(*way, id=f"{way[0]}-{way[2].method}-{way[2].path}") for way in ways()]
)
async def test_anothers_is_as_one_that_never_was(app: FastAPI, somebody: Somebody, thing: Thing, call: Call) -> None:
    """The response and the statements are the same as for data that does not exist, and the data is unchanged."""
    db: Database = app.state.db
    theirs = new_id()
    async with db.connection() as connection:
        await connection.execute(thing.insert, uuid4(), theirs)
        before = await connection.fetchrow(f"SELECT * FROM {thing.table} WHERE id = $1", theirs)

    async def ask(name: str) -> httpx.Response:
        return await Call(call.method, call.path.format(name), call.request).by(somebody)

    await assert_hidden(db, ask, str(theirs), str(new_id()), looks=thing.looks)
    async with db.connection() as connection:
        after = await connection.fetchrow(f"SELECT * FROM {thing.table} WHERE id = $1", theirs)
    assert after == before is not None
