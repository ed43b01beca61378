"""Changes of a profile by its owner."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from services.users.accounts import links, mails
from services.users.audit import repository as audit
from services.users.errors import EmailAlreadyUsed, TooManyMails
from services.users.models import User
from services.users.repository import UserRepository
from services.users.schemas import ProfileChange
from services.users.sessions import repository as sessions
from shared.contracts.events import UserUpdated
from shared.http.identity import Caller
from shared.outbox.outbox import add


def changed_fields(user: User, change: ProfileChange) -> dict[str, str]:
    """Return which of `name` and `email` would change."""
    wanted = {"name": change.name, "email": change.email}
    return {field: value for field, value in wanted.items() if value is not None and value != getattr(user, field)}


def needs_password(user: User, change: ProfileChange) -> bool:
    """Prevents taking over an account from an unlocked browser."""
    return change.password is not None or "email" in changed_fields(user, change)


async def apply(session: AsyncSession, user: User, change: ProfileChange, new_hash: str | None, caller: Caller) -> User:
    """Change a locked account. Raises `EmailAlreadyUsed`, `TooManyMails`."""
    fields = changed_fields(user, change)
    changes = _changes(user, change, fields, new_hash)
    if not changes:
        return user
    if "email" in fields:
        await _request_address(session, user, fields["email"])
    await UserRepository(session).update(user, **changes)
    if new_hash:
        await sessions.revoke_others(session, user.id, kept=caller.session_id)
        await links.end(session, user.id, "reset")
        await mails.send_notice(session, user, "password_changed")
        await audit.record(session, audit.PASSWORD_CHANGED, actor=user.id, role=user.role, subject=user.id)
    if "name" in fields:
        await add(session, updated(user))
    return user


def updated(user: User) -> UserUpdated:
    """Return the event of a change that is visible to others."""
    return UserUpdated(
        user_id=user.id,
        email=user.email,
        name=user.name,
        revision=user.revision,
        updated_at=user.updated_at,
        email_verified=user.email_verified,
    )


def _changes(
    user: User, change: ProfileChange, fields: Mapping[str, str], new_hash: str | None
) -> dict[str, str | None]:
    """Return the columns to change. A new password, and the present address, withdraw a new address that is not
    confirmed: another person may have requested it."""
    changes: dict[str, str | None] = {"name": fields["name"]} if "name" in fields else {}
    if new_hash:
        changes["password_hash"] = new_hash
    if "email" in fields:
        changes["pending_email"] = fields["email"]
    elif user.pending_email and (new_hash or change.email):
        changes["pending_email"] = None
    return changes


async def _request_address(session: AsyncSession, user: User, email: str) -> None:
    """Request the mail that confirms a new address. Raises `EmailAlreadyUsed`, `TooManyMails`."""
    found = await UserRepository(session).get_by_email(email)
    if found is not None and found.id != user.id and found.email_verified:
        raise EmailAlreadyUsed
    if wait := await mails.count(session, "change", email, mails.NO_PAUSE):
        raise TooManyMails(wait)
    mails.send_link(session, user.id, "change", email)
    await audit.record(session, audit.EMAIL_CHANGE_REQUESTED, actor=user.id, role=user.role, subject=user.id)
