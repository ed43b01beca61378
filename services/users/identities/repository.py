"""Linked identities as rows."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.models import Identity

CLAIM = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:issuer || ' ' || :subject, 0))")


async def claim(session: AsyncSession, issuer: str, subject: str) -> Identity | None:
    """Reserve the identity for this transaction, and return it if it is linked to a user.

    Without this lock, two accounts could get one identity.
    """
    await session.execute(CLAIM, {"issuer": issuer, "subject": subject})
    which = Identity.issuer == issuer, Identity.subject == subject
    found: Identity | None = await session.scalar(sa.select(Identity).where(*which))
    return found


async def count(session: AsyncSession, user_id: UUID) -> int:
    query = sa.select(sa.func.count()).select_from(Identity).where(Identity.user_id == user_id)
    return await session.scalar(query) or 0


async def page(session: AsyncSession, user_id: UUID, after: UUID | None, limit: int) -> Sequence[Identity]:
    """Return a user's identities, newest first."""
    query = sa.select(Identity).where(Identity.user_id == user_id)
    if after is not None:
        query = query.where(Identity.id < after)
    return (await session.scalars(query.order_by(Identity.id.desc()).limit(limit))).all()


async def use(session: AsyncSession, identity: Identity) -> None:
    """Store that it has been used for a sign-in now."""
    which = Identity.user_id == identity.user_id, Identity.id == identity.id
    await session.execute(sa.update(Identity).where(*which).values(last_used_at=sa.func.now()))


async def delete(session: AsyncSession, user_id: UUID, identity_id: UUID) -> Identity | None:
    """Delete an identity, and return it if there was one."""
    which = Identity.user_id == user_id, Identity.id == identity_id
    deleted: Identity | None = await session.scalar(sa.delete(Identity).where(*which).returning(Identity))
    return deleted
