"""What operators do with accounts, over the API and at a shell.

Roles are granted only at a shell, which has access to the database: a stolen token cannot create operators.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users import revocations
from services.users.accounts import links, mails
from services.users.accounts.credentials import end_access
from services.users.audit import repository as audit
from services.users.audit.repository import Actor
from services.users.errors import OwnAccount, UserNotFound
from services.users.models import ApiKey, LoginSession, User
from services.users.repository import UserRepository
from services.users.sessions import repository as sessions
from shared.contracts.account_errors import AccountSuspended
from shared.contracts.internal_api import MailLink
from shared.db.engine import CONNECT_TIMEOUT_S, clock, create_engine
from shared.http.tokens import Role


async def change_role(session: AsyncSession, email: str, role: Role, by: str) -> tuple[UUID, Role]:
    """Change the role of an account; returns its id and its previous role. Raises `UserNotFound`.

    The user must sign in again, and their API keys with the scope `admin` are deleted: such a key may do what its
    owner's role allows.
    """
    user = await locked(session, email)
    before = user.role
    if before != role:
        user.role = role
        await sessions.revoke_others(session, user.id, kept=None)
        may_be_admin = sa.literal("admin") == sa.any_(ApiKey.scopes)
        await revocations.end_api_keys(session, ApiKey.user_id == user.id, may_be_admin)
        detail = f"{before} -> {role}, by {by}"
        await audit.record(session, audit.ROLE_CHANGED, actor=None, subject=user.id, detail=detail)
    return user.id, before


async def suspend(session: AsyncSession, user: User, by: Actor) -> None:
    """Suspend a locked account: its sessions end, and it cannot sign in. Raises `OwnAccount`."""
    if user.id == by.actor:
        raise OwnAccount
    if user.suspended_at is None:
        user.suspended_at = await clock(session)
        await end_access(session, user.id)
        await audit.record(session, audit.SUSPENDED, subject=user.id, **by._asdict())


async def unsuspend(session: AsyncSession, user: User, by: Actor) -> None:
    """Let a locked account sign in again."""
    if user.suspended_at is not None:
        user.suspended_at = None
        await audit.record(session, audit.UNSUSPENDED, subject=user.id, **by._asdict())


async def locked(session: AsyncSession, who: UUID | str) -> User:
    """Return an account by its id or its address; nothing else changes it before the transaction ends. Raises
    `UserNotFound`."""
    users = UserRepository(session)
    found = await users.get(who) if isinstance(who, UUID) else await users.get_by_email(who)
    user = await users.get(found.id, lock=True) if found else None
    if user is None:
        raise UserNotFound
    return user


async def mail_reset(session: AsyncSession, user: User, by: Actor) -> None:
    """Mail a link for a new password to a locked account. Raises `AccountSuspended`."""
    await _record_reset(session, user, by)
    mails.send_link(session, user.id, "reset", user.email)


async def reset_link(session: AsyncSession, user: User, by: Actor, page: str) -> MailLink:
    """Return a link for a new password, to be handed over in person. Raises `AccountSuspended`."""
    await _record_reset(session, user, by)
    return await links.create(session, user, "reset", user.email, page)


async def _record_reset(session: AsyncSession, user: User, by: Actor) -> None:
    if user.suspended_at is not None:
        raise AccountSuspended
    await audit.record(session, audit.RESET_REQUESTED, subject=user.id, **by._asdict())


async def count_sessions(session: AsyncSession, user_id: UUID) -> int:
    """Return how many sessions of an account have not expired."""
    is_open = sa.and_(LoginSession.user_id == user_id, LoginSession.expires_at > sa.func.now())
    return await session.scalar(sa.select(sa.func.count()).select_from(LoginSession).where(is_open)) or 0


@asynccontextmanager
async def transaction(database_url: str) -> AsyncIterator[AsyncSession]:
    """Open the database at this URL for one transaction; what was read can still be used after it."""
    engine = create_engine(database_url, timeout=CONNECT_TIMEOUT_S, poolclass=sa.NullPool)
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            yield session
    finally:
        await engine.dispose()


async def promote(database_url: str, email: str, role: Role, by: str) -> tuple[UUID, Role]:
    """Run `change_role` in the database at this URL."""
    async with transaction(database_url) as session:
        return await change_role(session, email, role, by)


async def list_operators(database_url: str) -> list[User]:
    """Return all accounts with a role, oldest first."""
    async with transaction(database_url) as session:
        return list(await session.scalars(sa.select(User).where(User.role != "user").order_by(User.id)))


async def list_accounts(database_url: str, limit: int) -> list[User]:
    """Return the newest accounts, newest first."""
    async with transaction(database_url) as session:
        return list(await session.scalars(sa.select(User).order_by(User.id.desc()).limit(limit)))
