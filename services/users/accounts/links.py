"""Single-use links in mails. The database has the SHA-256 of each token, and nothing else has the token.

A mail that is sent again has another token. Using one of them ends all tokens of the account for that purpose.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.audit import repository as audit
from services.users.errors import LinkNotWanted
from services.users.models import MailToken, User
from services.users.repository import UserRepository
from shared.contracts.account_errors import AccountSuspended, InvalidLink
from shared.contracts.internal_api import MailLink, Purpose
from shared.db.engine import Database, clock
from shared.http.tokens import b64url, b64url_decode

VALID: dict[Purpose, timedelta] = {
    "verify": timedelta(days=1),
    "change": timedelta(days=1),
    "reset": timedelta(hours=1),
}
ROUTES: dict[Purpose, str] = {"verify": "verify", "change": "verify", "reset": "reset"}
"""The routes of the page. They are in the fragment, so neither a request nor a `Referer` contains the token."""
_ID, _SECRET = 16, 32


@dataclass(frozen=True)
class Token:
    """The user's id, so that everything is looked up by user, and 256 random bits."""

    user_id: UUID
    secret: bytes

    @classmethod
    def new(cls, user_id: UUID) -> Self:
        return cls(user_id, secrets.token_bytes(_SECRET))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a token; None if it is malformed."""
        try:
            raw = b64url_decode(text)
        except ValueError:
            return None
        token = cls(UUID(bytes=raw[:_ID]), raw[_ID:]) if len(raw) == _ID + _SECRET else None
        return token if token and str(token) == text else None

    def __str__(self) -> str:
        return b64url(self.user_id.bytes + self.secret)

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.secret).digest()


def recipient(user: User, purpose: Purpose) -> str | None:
    """Return the address to which the account may have such a link now."""
    match purpose:
        case "verify":
            return None if user.email_verified else user.email
        case "change":
            return user.pending_email
    return user.email


async def create(session: AsyncSession, user: User, purpose: Purpose, email: str, page: str) -> MailLink:
    """Create a link, which only this response contains. Raises `LinkNotWanted`."""
    if user.suspended_at is not None or recipient(user, purpose) != email:
        raise LinkNotWanted
    token, at = Token.new(user.id), await clock(session)
    session.add(
        MailToken(
            user_id=user.id,
            token_hash=token.hash,
            purpose=purpose,
            email=email,
            created_at=at,
            expires_at=at + VALID[purpose],
        )
    )
    await session.flush()
    return MailLink(f"{page}/#/{ROUTES[purpose]}?token={token}", int(VALID[purpose].total_seconds()))


async def find(session: AsyncSession, text: str, *purposes: Purpose) -> tuple[User, Purpose]:
    """Return the account of a token, which is locked, and its purpose. Raises `InvalidLink`, `AccountSuspended`."""
    token = Token.parse(text)
    user = await UserRepository(session).get(token.user_id, lock=True) if token else None
    row = await session.get(MailToken, (token.user_id, token.hash)) if token and user else None
    if user is None or row is None or row.purpose not in purposes or row.expires_at <= await clock(session):
        raise InvalidLink
    if recipient(user, row.purpose) != row.email:
        raise InvalidLink
    if user.suspended_at is not None:
        raise AccountSuspended
    return user, row.purpose


async def end(session: AsyncSession, user_id: UUID, *purposes: Purpose) -> None:
    """End the links of an account: those for these purposes, or all."""
    which = (MailToken.purpose.in_(purposes),) if purposes else ()
    await session.execute(sa.delete(MailToken).where(MailToken.user_id == user_id, *which))


async def record_refusal(db: Database, text: str) -> None:
    """Record in the audit log that a link was refused, with the account that its token names, if there is one."""
    token = Token.parse(text)
    async with db.begin() as session:
        user = await UserRepository(session).get(token.user_id) if token else None
        await audit.record(session, audit.LINK_REFUSED, actor=None, subject=user.id if user else None)
