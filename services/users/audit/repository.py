"""The audit log: actor, action, subject, time and address. An entry is written in the transaction of its action."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.models import AuditRow
from shared.db.engine import Database, clock
from shared.db.retention import sweep
from shared.http.identity import client_address
from shared.http.tokens import Role
from shared.ids import new_id
from shared.observability import telemetry

SIGNED_IN, SIGN_IN_FAILED, SIGNED_OUT = "signed_in", "sign_in_failed", "signed_out"
TOKEN_REUSED = "refresh_token_reused"  # noqa: S105  an action
SESSION_ENDED, OTHER_SESSIONS_ENDED = "session_ended", "other_sessions_ended"
API_KEY_CREATED, API_KEY_DELETED = "api_key_created", "api_key_deleted"
PASSWORD_CHANGED, EMAIL_CHANGED = "password_changed", "email_changed"
ROLE_CHANGED, ACCOUNT_DELETED = "role_changed", "account_deleted"
EXPIRY_EVERY_S = 3600


async def record(
    session: AsyncSession,
    action: str,
    *,
    actor: UUID | None,
    role: Role | None = None,
    subject: UUID | None = None,
    detail: str | None = None,
) -> None:
    """Add an entry: it stays if and only if the session's transaction commits."""
    session.add(
        AuditRow(
            id=new_id(),
            action=action,
            actor_id=actor,
            actor_role=role,
            subject_id=subject,
            detail=detail,
            address=client_address.get(),
            request_id=telemetry.current_request_id.get(),
            created_at=sa.func.now(),
        )
    )
    await session.flush()


async def page(
    session: AsyncSession, limit: int, before: UUID | None, **wanted: UUID | str | None
) -> Sequence[AuditRow]:
    """Return the newest entries; `wanted` filters columns by value, unless it is None."""
    query = sa.select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    for column, value in wanted.items():
        if value is not None:
            query = query.where(getattr(AuditRow, column) == value)
    if before is not None:
        query = query.where(AuditRow.id < before)
    return (await session.scalars(query)).all()


async def expire(db: Database, keep_s: int) -> None:
    """Delete older entries."""
    await sweep(db, AuditRow.__tablename__, partial(expire_some, db, keep_s))


async def expire_some(db: Database, keep_s: int, limit: int) -> int:
    """Delete the oldest entries, and return how many. Ids follow the clocks of their processes: they only help to
    find old entries."""
    async with db.begin() as session:
        await session.execute(sa.text("SET LOCAL audit.ending = 'on'"))
        oldest = await clock(session) - timedelta(seconds=keep_s)
        is_old = sa.and_(AuditRow.id < new_id(oldest), AuditRow.created_at < oldest)
        found = (await session.scalars(sa.select(AuditRow.id).where(is_old).limit(limit))).all()
        await session.execute(sa.delete(AuditRow).where(AuditRow.id.in_(found)))
    return len(found)
