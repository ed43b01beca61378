"""The application's database, for its routes."""

from typing import Annotated

from fastapi import Depends, Request

from shared.db.engine import Database


async def _database(request: Request) -> Database:
    db: Database = request.app.state.db
    return db


DatabaseDep = Annotated[Database, Depends(_database)]
