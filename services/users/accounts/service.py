"""Accounts: registration, changes, deletion; each with its event in the same transaction."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.accounts import mails, profile
from services.users.accounts.profile import changed_fields, needs_password
from services.users.audit import repository as audit
from services.users.audit.repository import Actor
from services.users.errors import UnmailableAddress, UserNotFound
from services.users.models import User
from services.users.passwords import Passwords, refuse_weak
from services.users.repository import UserRepository
from services.users.schemas import ProfileChange, Registration
from services.users.sessions import repository as sessions
from shared.clock import now
from shared.contracts.account_errors import RecentSignInRequired, WrongPassword
from shared.contracts.events import UserDeleted, UserRegistered
from shared.contracts.internal_api import CURRENT_PASSWORD
from shared.db.engine import Database
from shared.http.identity import Caller
from shared.http.tokens import Role
from shared.ids import new_id
from shared.outbox.outbox import add

UNVERIFIED_ENDS = sa.func.now() + sa.text("interval '7 days'")
"""When an account is deleted whose address is not verified until then."""


RECENT = timedelta(minutes=5)
"""How long a sign-in is enough for a step that otherwise needs the password."""


async def register(
    session: AsyncSession,
    *,
    email: str,
    name: str,
    password_hash: str | None,
    role: Role = "user",
    created_at: datetime | None = None,
    user_id: UUID | None = None,
    email_verified: bool = False,
) -> User:
    """Create a user and `user.registered`, in the session's transaction, and request the mail that verifies the
    address. Raises `EmailAlreadyUsed`.

    The API omits the last four; demo data sets them, for operators and for older users.
    """
    moment = created_at or now()
    user = await UserRepository(session).create(
        User(
            id=user_id or new_id(created_at),
            email=email,
            name=name,
            password_hash=password_hash,
            role=role,
            revision=1,
            created_at=moment,
            updated_at=moment,
            email_verified=email_verified,
            expires_at=None if email_verified else UNVERIFIED_ENDS,
        )
    )
    event = UserRegistered(
        user_id=user.id,
        email=user.email,
        name=user.name,
        revision=user.revision,
        registered_at=user.created_at,
        email_verified=user.email_verified,
    )
    await add(session, event)
    if not email_verified:
        await mails.send_verification(session, user)
    return user


class Accounts:
    """Operations on the caller's own account. Passwords are hashed outside of transactions.

    `smtputf8`: whether mail reaches addresses with a non-ASCII local part.
    """

    def __init__(self, db: Database, passwords: Passwords, *, smtputf8: bool) -> None:
        self._db = db
        self._passwords = passwords
        self._smtputf8 = smtputf8

    async def register(self, body: Registration) -> User:
        """Raises `UnmailableAddress`, `WeakPassword`, `EmailAlreadyUsed`."""
        self.refuse_unmailable(body.email)
        refuse_weak(body.password, body.email, body.name)
        password_hash = await self._passwords.hash(body.password, body.email)
        async with self._db.begin() as session:
            return await register(session, email=body.email, name=body.name, password_hash=password_hash)

    async def get(self, user_id: UUID) -> User:
        """Raises `UserNotFound`."""
        async with self._db.begin() as session:
            return await _get(session, user_id)

    async def change(self, caller: Caller, change: ProfileChange) -> User:
        """A new address is used once it is confirmed. Raises `UserNotFound`, `UnmailableAddress`, `WrongPassword`,
        `RecentSignInRequired`, `WeakPassword`, `EmailAlreadyUsed`, `TooManyMails`."""
        user = await self.get(caller.user_id)
        self.refuse_unmailable(changed_fields(user, change).get("email", ""))
        confirmed = await self.confirm_owner(caller, change.current_password) if needs_password(user, change) else None
        new_hash = await self._new_hash(change.password, user) if change.password else None
        async with self._db.begin() as session:
            user = await _get(session, caller.user_id, lock=True)
            if needs_password(user, change) and user.password_hash != confirmed:
                raise _wrong_password()
            return await profile.apply(session, user, change, new_hash, caller)

    async def delete(self, caller: Caller, current_password: str | None) -> None:
        """Raises `UserNotFound`, `WrongPassword`, `RecentSignInRequired`."""
        confirmed = await self.confirm_owner(caller, current_password)
        async with self._db.begin() as session:
            user = await confirmed_owner(session, caller, confirmed)
            await delete_account(session, user, audit.ACCOUNT_DELETED, Actor.of(caller))

    async def confirm_owner(
        self, caller: Caller, current_password: str | None, *, or_recent_sign_in: bool = False
    ) -> str | None:
        """Check that the owner of the account makes this request, before a step that a stolen session must not take.
        Return the hash of their password. Raises `UserNotFound`, `WrongPassword`, `RecentSignInRequired`.

        `or_recent_sign_in`: a session that began in the last five minutes is enough without a password. A wrong
        password is recorded in the audit log as a failed sign-in. Without a password, an identity provider must have
        signed the caller in within the last five minutes.
        """
        user = await self.get(caller.user_id)
        if not user.has_password:
            if await self._is_proved(caller):
                return None
            raise RecentSignInRequired
        if current_password is None:
            if or_recent_sign_in and await self._has_just_signed_in(caller):
                return user.password_hash
            raise _wrong_password()
        if not (await self._passwords.verify(current_password, user.password_hash, user.email)).valid:
            async with self._db.begin() as session:
                await audit.record(
                    session,
                    audit.SIGN_IN_FAILED,
                    actor=caller.user_id,
                    role=caller.role,
                    subject=caller.user_id,
                    detail=CURRENT_PASSWORD,
                )
            raise _wrong_password()
        return user.password_hash

    async def _has_just_signed_in(self, caller: Caller) -> bool:
        async with self._db.begin() as session:
            return await sessions.is_recent(session, caller.user_id, caller.session_id, RECENT)

    async def _is_proved(self, caller: Caller) -> bool:
        async with self._db.begin() as session:
            return await sessions.is_proved(session, caller.user_id, caller.session_id, RECENT)

    def refuse_unmailable(self, email: str) -> None:
        """Raises `UnmailableAddress`."""
        if not self._smtputf8 and not email.rpartition("@")[0].isascii():
            raise UnmailableAddress.of(
                "email", "must have only ASCII letters before the @; mail cannot be delivered otherwise"
            )

    async def _new_hash(self, password: str, user: User) -> str:
        refuse_weak(password, user.email, user.name)
        return await self._passwords.hash(password, user.email)


async def _get(session: AsyncSession, user_id: UUID, *, lock: bool = False) -> User:
    user = await UserRepository(session).get(user_id, lock=lock)
    if user is None:
        raise UserNotFound
    return user


async def confirmed_owner(session: AsyncSession, caller: Caller, confirmed: str | None) -> User:
    """Lock the account that `confirm_owner` has confirmed, and return it. Raises `UserNotFound`, and `WrongPassword` if
    the password has been changed since."""
    user = await _get(session, caller.user_id, lock=True)
    if user.password_hash != confirmed:
        raise _wrong_password()
    return user


async def delete_account(session: AsyncSession, user: User, action: str, by: Actor) -> None:
    """Delete a locked account with its data; the audit log says why."""
    await audit.record(session, action, subject=user.id, **by._asdict())
    await UserRepository(session).delete(user)
    await add(session, UserDeleted(user_id=user.id, revision=user.revision + 1, deleted_at=now()))


def _wrong_password() -> WrongPassword:
    return WrongPassword.of(CURRENT_PASSWORD, "is required for this, and must be correct")


async def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


AccountsDep = Annotated[Accounts, Depends(_accounts)]
"""The instance that the lifespan has created."""
