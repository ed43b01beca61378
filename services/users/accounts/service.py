"""Accounts: registration, changes, deletion; each change with its event in the same transaction."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.audit import repository as audit
from services.users.errors import UnmailableAddress, UserNotFound, WeakPassword, WrongPassword
from services.users.models import User
from services.users.passwords import TOO_EASY, Passwords, is_easy_to_guess
from services.users.repository import UserRepository
from services.users.schemas import ProfileChange, Registration
from services.users.sessions import repository as sessions
from shared.clock import now
from shared.contracts.events import UserDeleted, UserRegistered, UserUpdated
from shared.contracts.internal_api import CURRENT_PASSWORD
from shared.db.engine import Database
from shared.http.identity import Caller
from shared.http.tokens import Role
from shared.ids import new_id
from shared.outbox.outbox import add


async def register(
    session: AsyncSession,
    *,
    email: str,
    name: str,
    password_hash: str,
    role: Role = "user",
    created_at: datetime | None = None,
    user_id: UUID | None = None,
) -> User:
    """Create a user and `user.registered`, in the session's transaction. Raises `EmailAlreadyUsed`.

    The API omits the last three; demo data sets them, for operators and for older users.
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
        )
    )
    event = UserRegistered(
        user_id=user.id, email=user.email, name=user.name, revision=user.revision, registered_at=user.created_at
    )
    await add(session, event)
    return user


def changed_fields(user: User, change: ProfileChange) -> dict[str, str]:
    """Return which of `name` and `email` would change."""
    wanted = {"name": change.name, "email": change.email}
    return {field: value for field, value in wanted.items() if value is not None and value != getattr(user, field)}


def needs_password(user: User, change: ProfileChange) -> bool:
    """Prevents taking over an account from an unlocked browser."""
    return change.password is not None or "email" in changed_fields(user, change)


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
        self._refuse_unmailable(body.email)
        _refuse_weak(body.password, body.email, body.name)
        password_hash = await self._passwords.hash(body.password, body.email)
        async with self._db.begin() as session:
            return await register(session, email=body.email, name=body.name, password_hash=password_hash)

    async def get(self, user_id: UUID) -> User:
        """Raises `UserNotFound`."""
        async with self._db.begin() as session:
            return await _get(session, user_id)

    async def change(self, caller: Caller, change: ProfileChange) -> User:
        """Raises `UserNotFound`, `UnmailableAddress`, `WrongPassword`, `WeakPassword`, `EmailAlreadyUsed`."""
        user = await self.get(caller.user_id)
        self._refuse_unmailable(changed_fields(user, change).get("email", ""))
        confirmed = await self.confirm_owner(caller, change.current_password) if needs_password(user, change) else None
        new_hash = await self._new_hash(change.password, user) if change.password else None
        async with self._db.begin() as session:
            user = await _get(session, caller.user_id, lock=True)
            if needs_password(user, change) and user.password_hash != confirmed:
                raise _wrong_password()
            return await _change(session, user, change, new_hash, caller)

    async def delete(self, caller: Caller, current_password: str | None) -> None:
        """Raises `UserNotFound`, `WrongPassword`."""
        confirmed = await self.confirm_owner(caller, current_password)
        async with self._db.begin() as session:
            user = await confirmed_owner(session, caller, confirmed)
            await audit.record(session, audit.ACCOUNT_DELETED, actor=caller.user_id, role=caller.role, subject=user.id)
            await UserRepository(session).delete(user)
            await add(session, UserDeleted(user_id=user.id, revision=user.revision + 1, deleted_at=now()))

    async def confirm_owner(self, caller: Caller, current_password: str | None) -> str:
        """Check that the owner of the account makes this request, before a step that a stolen session must not take.
        Return the hash that their password matches. Raises `UserNotFound`, `WrongPassword`.

        A wrong password is recorded in the audit log as a failed sign-in.
        """
        user = await self.get(caller.user_id)
        if current_password is None:
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

    def _refuse_unmailable(self, email: str) -> None:
        if not self._smtputf8 and not email.rpartition("@")[0].isascii():
            raise UnmailableAddress.of(
                "email", "must have only ASCII letters before the @; mail cannot be delivered otherwise"
            )

    async def _new_hash(self, password: str, user: User) -> str:
        _refuse_weak(password, user.email, user.name)
        return await self._passwords.hash(password, user.email)


async def _get(session: AsyncSession, user_id: UUID, *, lock: bool = False) -> User:
    user = await UserRepository(session).get(user_id, lock=lock)
    if user is None:
        raise UserNotFound
    return user


async def confirmed_owner(session: AsyncSession, caller: Caller, confirmed: str) -> User:
    """Lock the account that `confirm_owner` has confirmed, and return it. Raises `UserNotFound`, and `WrongPassword` if
    the password has been changed since."""
    user = await _get(session, caller.user_id, lock=True)
    if user.password_hash != confirmed:
        raise _wrong_password()
    return user


async def _change(
    session: AsyncSession, user: User, change: ProfileChange, new_hash: str | None, caller: Caller
) -> User:
    fields = changed_fields(user, change)
    changes = fields | ({"password_hash": new_hash} if new_hash else {})
    if not changes:
        return user
    await UserRepository(session).update(user, **changes)
    if new_hash:
        await sessions.revoke_others(session, user.id, kept=caller.session_id)
        await audit.record(session, audit.PASSWORD_CHANGED, actor=user.id, role=user.role, subject=user.id)
    if "email" in fields:
        await audit.record(session, audit.EMAIL_CHANGED, actor=user.id, role=user.role, subject=user.id)
    if fields:
        await add(session, updated(user))
    return user


def updated(user: User) -> UserUpdated:
    """Return the event of a change that is visible to others."""
    return UserUpdated(
        user_id=user.id, email=user.email, name=user.name, revision=user.revision, updated_at=user.updated_at
    )


def _refuse_weak(password: str, *personal: str) -> None:
    if is_easy_to_guess(password, *personal):
        raise WeakPassword.of("password", TOO_EASY)


def _wrong_password() -> WrongPassword:
    return WrongPassword.of(CURRENT_PASSWORD, "is required for this, and must be correct")


async def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


AccountsDep = Annotated[Accounts, Depends(_accounts)]
"""The instance that the lifespan has created."""
