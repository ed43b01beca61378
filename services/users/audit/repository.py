"""The audit log: actor, action, subject, time and address. An entry is written in the transaction of its action."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.models import AuditRow
from shared.db.engine import Database, clock
from shared.db.retention import sweep
from shared.http.identity import Caller, client_address
from shared.http.tokens import Role
from shared.ids import new_id
from shared.observability import telemetry

SIGNED_IN, SIGN_IN_FAILED, SIGNED_OUT = "signed_in", "sign_in_failed", "signed_out"
TOKEN_REUSED = "refresh_token_reused"  # noqa: S105  an action
SESSION_ENDED, OTHER_SESSIONS_ENDED = "session_ended", "other_sessions_ended"
OIDC_SIGN_IN, IDENTITY_LINKED, IDENTITY_UNLINKED = "oidc_sign_in", "identity_linked", "identity_unlinked"
API_KEY_CREATED, API_KEY_DELETED = "api_key_created", "api_key_deleted"
PASSWORD_CHANGED, EMAIL_CHANGED = "password_changed", "email_changed"
EMAIL_VERIFIED, EMAIL_CHANGE_REQUESTED = "email_verified", "email_change_requested"
RESET_REQUESTED, PASSWORD_RESET = "password_reset_requested", "password_reset"
LINK_REFUSED = "link_refused"
ROLE_CHANGED, SUSPENDED, UNSUSPENDED = "role_changed", "account_suspended", "account_unsuspended"
ACCOUNT_DELETED, ACCOUNT_EXPIRED, ACCOUNT_REPLACED = "account_deleted", "account_expired", "account_replaced"
"""An account whose address is not verified expires, or is replaced by one that verifies the address."""
EXPIRY_EVERY_S = 3600
CLOCKS_DIFFER = timedelta(hours=1)
EARLIEST, LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2500, 1, 1, tzinfo=UTC)


class Actor(NamedTuple):
    """Who acts. An anonymous request has no actor, and neither has a command; `detail` names who runs that."""

    actor: UUID | None = None
    role: Role | None = None
    detail: str | None = None

    @classmethod
    def of(cls, caller: Caller | None) -> Self:
        return cls(caller.user_id, caller.role) if caller else cls()


class Origin(NamedTuple):
    """The client's address, and the id of its request."""

    address: str | None
    request_id: str | None

    @classmethod
    def of_request(cls) -> Self:
        """Return the origin of the current request."""
        return cls(client_address.get(), telemetry.current_request_id.get())


async def record(
    session: AsyncSession,
    action: str,
    *,
    actor: UUID | None,
    role: Role | None = None,
    subject: UUID | None = None,
    detail: str | None = None,
    origin: Origin | None = None,
) -> None:
    """Add an entry: it stays if and only if the session's transaction commits."""
    address, request_id = origin or Origin.of_request()
    session.add(
        AuditRow(
            id=new_id(),
            action=action,
            actor_id=actor,
            actor_role=role,
            subject_id=subject,
            detail=detail,
            address=address,
            request_id=request_id,
            created_at=sa.func.now(),
        )
    )
    await session.flush()


async def page(
    session: AsyncSession,
    limit: int,
    before: UUID | None,
    since: datetime | None = None,
    until: datetime | None = None,
    **wanted: UUID | str | None,
) -> Sequence[AuditRow]:
    """Return the newest entries; `wanted` filters columns by value, unless it is None.

    Ids follow the clocks of their processes, which may differ from the database's: they only limit what is read.
    """
    query = sa.select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if since is not None:
        at = _in_range(since)
        query = query.where(AuditRow.created_at >= at, AuditRow.id >= new_id(at - CLOCKS_DIFFER))
    if until is not None:
        at = _in_range(until)
        query = query.where(AuditRow.created_at < at, AuditRow.id < new_id(at + CLOCKS_DIFFER))
    for column, value in wanted.items():
        if value is not None:
            query = query.where(getattr(AuditRow, column) == value)
    if before is not None:
        query = query.where(AuditRow.id < before)
    return (await session.scalars(query)).all()


def _in_range(at: datetime) -> datetime:
    """Return the nearest time that an id can have."""
    return min(max(at, EARLIEST), LATEST)


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
