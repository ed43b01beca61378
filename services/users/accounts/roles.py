"""Roles, which allow operators to read and change other users' data.

Roles are granted from a shell with access to the database, not over the API: a stolen token cannot create operators.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users import revocations
from services.users.audit import repository as audit
from services.users.errors import UserNotFound
from services.users.models import ApiKey, User
from services.users.repository import UserRepository
from services.users.sessions import repository as sessions
from shared.db.engine import CONNECT_TIMEOUT_S, create_engine
from shared.http.tokens import Role


async def change_role(session: AsyncSession, email: str, role: Role, by: str) -> tuple[UUID, Role]:
    """Change the role of an account; returns its id and its previous role. Raises `UserNotFound`.

    The user must sign in again, and their API keys with the scope `admin` are deleted: such a key may do what its
    owner's role allows.
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
        may_be_admin = sa.literal("admin") == sa.any_(ApiKey.scopes)
        await revocations.end_api_keys(session, ApiKey.user_id == user.id, may_be_admin)
        detail = f"{before} -> {role}, by {by}"
        await audit.record(session, audit.ROLE_CHANGED, actor=None, subject=user.id, detail=detail)
    return user.id, before


async def operators(session: AsyncSession) -> list[User]:
    """Return all accounts with a role, oldest first."""
    return list(await session.scalars(sa.select(User).where(User.role != "user").order_by(User.id)))


async def promote(database_url: str, email: str, role: Role, by: str) -> tuple[UUID, Role]:
    """Run `change_role` in the database at this URL."""
    async with _session(database_url) as session, session.begin():
        return await change_role(session, email, role, by)


async def list_operators(database_url: str) -> list[User]:
    """Run `operators` likewise."""
    async with _session(database_url) as session:
        return await operators(session)


async def list_accounts(database_url: str, limit: int) -> list[User]:
    """Return the newest accounts, newest first."""
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
