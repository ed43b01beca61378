"""A user's notifications in the database."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.worker.models import Notification


async def notifications_page(
    session: AsyncSession, user_id: UUID, *, unread: bool, before: UUID | None, limit: int
) -> Sequence[Notification]:
    """Return notifications, newest first, one more than `limit`."""
    query = sa.select(Notification).where(Notification.user_id == user_id)
    if unread:
        query = query.where(~Notification.read)
    if before:
        query = query.where(Notification.id < before)
    found = await session.scalars(query.order_by(Notification.id.desc()).limit(limit + 1))
    return found.all()


async def mark_read(session: AsyncSession, user_id: UUID, notification_id: UUID) -> Notification | None:
    """Mark the notification as read and return it; None if this user has no such one."""
    marked = await session.scalars(
        sa.update(Notification)
        .where(Notification.user_id == user_id, Notification.id == notification_id)
        .values(read=True)
        .returning(Notification)
    )
    return marked.one_or_none()


async def mark_read_up_to(session: AsyncSession, user_id: UUID, newest: UUID) -> None:
    """Mark that notification and every older one as read."""
    await session.execute(
        sa.update(Notification)
        .where(Notification.user_id == user_id, Notification.id <= newest, ~Notification.read)
        .values(read=True)
    )


async def mark_unread(session: AsyncSession, user_id: UUID, ids: Sequence[UUID]) -> None:
    """Mark those of the notifications that exist as unread."""
    await session.execute(
        sa.update(Notification)
        .where(Notification.user_id == user_id, Notification.id.in_(ids), Notification.read)
        .values(read=False)
    )


async def unread_notifications(session: AsyncSession, user_id: UUID) -> int:
    query = sa.select(sa.func.count()).where(Notification.user_id == user_id, ~Notification.read)
    return (await session.scalars(query)).one()
