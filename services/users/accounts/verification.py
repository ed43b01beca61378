"""Verification of addresses: of new accounts, and of the addresses to which accounts change.

Of several accounts that claim one address, the first that verifies it has it.
"""

from functools import partial
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.accounts import links, mails
from services.users.accounts.credentials import revoke_credentials
from services.users.accounts.profile import updated
from services.users.accounts.service import delete_account
from services.users.audit import repository as audit
from services.users.audit.repository import Actor
from services.users.errors import AlreadyVerified, EmailAlreadyUsed, TooManyMails, UserNotFound
from services.users.models import User
from services.users.repository import UserRepository
from shared.contracts.account_errors import InvalidLink
from shared.contracts.internal_api import Purpose
from shared.db.engine import Database
from shared.db.retention import sweep
from shared.http.identity import Caller
from shared.outbox.outbox import add

EXPIRY_EVERY_S = 3600
EXPIRY_BATCH = 50
"""Accounts that are deleted in one transaction."""


class Verifications:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def verify(self, token: str, caller: Caller | None) -> None:
        """Use the token of a link. The session of a caller who has the account goes on.

        Raises `InvalidLink`, `AccountSuspended`, and `EmailAlreadyUsed` if another account has verified the address.
        """
        try:
            async with self._db.begin() as session:
                user, purpose = await links.find(session, token, "verify", "change")
                owner = caller if caller and caller.user_id == user.id else None
                apply = _change_address if purpose == "change" else mark_verified
                await apply(session, user, Actor.of(owner), owner.session_id if owner else None)
        except InvalidLink:
            await links.record_refusal(self._db, token)
            raise

    async def resend(self, caller: Caller) -> None:
        """Send the link again: that of a new address, if one is to be confirmed. Raises `UserNotFound`,
        `AlreadyVerified`, `TooManyMails`."""
        async with self._db.begin() as session:
            user = await UserRepository(session).get(caller.user_id, lock=True)
            if user is None:
                raise UserNotFound
            purpose: Purpose = "change" if user.pending_email else "verify"
            email = links.recipient(user, purpose)
            if email is None:
                raise AlreadyVerified
            if wait := await mails.count(session, purpose, email):
                raise TooManyMails(wait)
            mails.send_link(session, user.id, purpose, email)


async def mark_verified(session: AsyncSession, user: User, by: Actor, kept: UUID | None = None) -> None:
    """Verify the address of an account, which is locked. Nothing changes if it is verified."""
    if user.email_verified:
        return
    await UserRepository(session).update(user, email_verified=True, pending_email=None, expires_at=None)
    await revoke_credentials(session, user.id, "verified", kept=kept)
    await audit.record(session, audit.EMAIL_VERIFIED, subject=user.id, **by._asdict())
    await add(session, updated(user))


async def _change_address(session: AsyncSession, user: User, by: Actor, kept: UUID | None) -> None:
    """Make the pending address the account's. Raises `EmailAlreadyUsed`."""
    email, is_first = user.pending_email or user.email, not user.email_verified
    await _free(session, email, user)
    await mails.send_notice(session, user, "email_changed")
    await UserRepository(session).update(user, email=email, email_verified=True, pending_email=None, expires_at=None)
    await links.end(session, user.id)
    if is_first:
        await revoke_credentials(session, user.id, "verified", kept=kept)
    await audit.record(session, audit.EMAIL_CHANGED, subject=user.id, **by._asdict())
    await add(session, updated(user))


async def _free(session: AsyncSession, email: str, owner: User) -> None:
    """Delete another account that has the address and has not verified it. Raises `EmailAlreadyUsed`."""
    users = UserRepository(session)
    found = await users.claim(email)
    other = await users.get(found.id, lock=True) if found and found.id != owner.id else None
    if other is None:
        return
    if other.email_verified or other.role != "user":
        raise EmailAlreadyUsed
    await delete_account(session, other, audit.ACCOUNT_REPLACED, Actor())


async def expire(db: Database) -> None:
    """Delete the accounts whose addresses were not verified in time."""
    await sweep(db, User.__tablename__, partial(_expire_some, db), EXPIRY_BATCH)


async def _expire_some(db: Database, limit: int) -> int:
    is_over = sa.and_(User.expires_at < sa.func.now(), ~User.email_verified, User.role == "user")
    query = sa.select(User).where(is_over).order_by(User.expires_at).limit(limit)
    async with db.begin() as session:
        users = (await session.scalars(query.with_for_update(skip_locked=True))).all()
        for user in users:
            await delete_account(session, user, audit.ACCOUNT_EXPIRED, Actor())
    return len(users)


async def _verifications(request: Request) -> Verifications:
    verifications: Verifications = request.app.state.verifications
    return verifications


VerificationsDep = Annotated[Verifications, Depends(_verifications)]
"""The instance that the lifespan has created."""
