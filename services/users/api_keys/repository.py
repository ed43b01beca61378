"""API keys in the database. A key is looked up by its hash, and everything else by its owner."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users import revocations
from services.users.models import ApiKey, User
from shared.http.tokens import Role

USED_AGAIN = timedelta(minutes=1)
"""The last use is stored at most this often."""


async def count(session: AsyncSession, user_id: UUID) -> int:
    query = sa.select(sa.func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id)
    return await session.scalar(query) or 0


async def page(session: AsyncSession, user_id: UUID, after: UUID | None, limit: int) -> Sequence[ApiKey]:
    """Return a user's keys, newest first."""
    query = sa.select(ApiKey).where(ApiKey.user_id == user_id)
    if after is not None:
        query = query.where(ApiKey.id < after)
    return (await session.scalars(query.order_by(ApiKey.id.desc()).limit(limit))).all()


async def delete(session: AsyncSession, user_id: UUID, key_id: UUID) -> bool:
    """Delete and revoke a key; return whether there was one."""
    return bool(await revocations.end_api_keys(session, ApiKey.user_id == user_id, ApiKey.id == key_id))


async def find(session: AsyncSession, key_hash: bytes) -> tuple[ApiKey, Role] | None:
    """Return the key with this hash and its owner's role, unless it has expired."""
    is_valid = sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > sa.func.now())
    query = sa.select(ApiKey, User.role).join(User, User.id == ApiKey.user_id)
    found = (await session.execute(query.where(ApiKey.key_hash == key_hash, is_valid))).first()
    return None if found is None else (found[0], found[1])


async def use(session: AsyncSession, key: ApiKey) -> None:
    """Store that the key is used now, unless that was stored a moment ago."""
    is_due = sa.or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= sa.func.now() - USED_AGAIN)
    which = ApiKey.user_id == key.user_id, ApiKey.id == key.id, is_due
    await session.execute(sa.update(ApiKey).where(*which).values(last_used_at=sa.func.now()))
