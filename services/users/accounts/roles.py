"""Who may look at others' things and change them.

Roles are given from a shell beside the database, not over the API: a stolen token cannot make more operators.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.audit import repository as audit
from services.users.errors import UserNotFound
from services.users.models import User
from services.users.repository import UserRepository
from services.users.sessions import repository as sessions
from shared.db.engine import CONNECT_TIMEOUT_S
from shared.db.hosts import create_engine
from shared.http.tokens import Role


async def change_role(session: AsyncSession, email: str, role: Role, by: str) -> tuple[UUID, Role]:
    """Give an account a role; returns whose it is and the role it had. Raises `UserNotFound`.

    They must sign in again; an access token that is out keeps the old role until it expires.
    """
    users = UserRepository(session)
    found = await users.get_by_email(email)
    user = await users.get(found.id, lock=True) if found else None
    if user is None:
        raise UserNotFound
    before = user.role
    if before != role:
        user.role = role
        await sessions.revoke_others(session, user.id, kept=None)
        detail = f"{before} -> {role}, by {by}"
        await audit.record(session, audit.ROLE_CHANGED, actor=None, subject=user.id, detail=detail)
    return user.id, before


async def operators(session: AsyncSession) -> list[User]:
    """Everyone with a role, the oldest accounts first."""
    return list(await session.scalars(sa.select(User).where(User.role != "user").order_by(User.id)))


async def promote(database_url: str, email: str, role: Role, by: str) -> tuple[UUID, Role]:
    """`change_role` in a database of which only the address is known."""
    async with _session(database_url) as session, session.begin():
        return await change_role(session, email, role, by)


async def list_operators(database_url: str) -> list[User]:
    """`operators` likewise."""
    async with _session(database_url) as session:
        return await operators(session)


async def list_accounts(database_url: str, limit: int) -> list[User]:
    """The newest accounts first."""
    async with _session(database_url) as session:
        return list(await session.scalars(sa.select(User).order_by(User.id.desc()).limit(limit)))


@asynccontextmanager
async def _session(database_url: str) -> AsyncIterator[AsyncSession]:
    engine = create_engine(database_url, timeout=CONNECT_TIMEOUT_S, poolclass=sa.NullPool)
    try:
        async with AsyncSession(engine) as session:
            yield session
    finally:
        await engine.dispose()
