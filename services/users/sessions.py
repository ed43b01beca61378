"""Sessions and their refresh tokens, as rows. Locks are taken in the order users, sessions, refresh tokens."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users import audit
from services.users.models import LoginSession, RefreshToken
from services.users.settings import Settings
from shared.ids import new_id
from shared.logs import get_logger
from shared.tokens import b64url, b64url_decode

log = get_logger(__name__)

_ID, _SECRET = 16, 32


@dataclass(frozen=True)
class Refresh:
    """What a refresh token says: whose session it continues, and a secret. Found by the user's id, like all else."""

    user_id: UUID
    session_id: UUID
    secret: bytes

    @classmethod
    def new(cls, user_id: UUID, session_id: UUID) -> Self:
        return cls(user_id, session_id, secrets.token_bytes(_SECRET))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for what `str` of a refresh token never is."""
        try:
            raw = b64url_decode(text)
        except ValueError:
            return None
        if len(raw) != 2 * _ID + _SECRET:
            return None
        return cls(UUID(bytes=raw[:_ID]), UUID(bytes=raw[_ID : 2 * _ID]), raw[2 * _ID :])

    def __str__(self) -> str:
        return b64url(self.user_id.bytes + self.session_id.bytes + self.secret)

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(str(self).encode()).digest()


@dataclass(frozen=True)
class Lifetimes:
    refresh: timedelta
    session: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(timedelta(seconds=settings.refresh_token_ttl_s), timedelta(seconds=settings.session_lifetime_s))

    def expiry(self, began: datetime, at: datetime) -> datetime:
        """When a session that began then and is refreshed `at` ends, unless it is refreshed again."""
        return min(at + self.refresh, began + self.session)


Verdict = Literal["rotate", "refuse", "revoke"]


def judge(session: LoginSession | None, token: RefreshToken | None, at: datetime) -> Verdict:
    """What to do with a refresh token: a used one has been stolen, or its successor has: the session ends."""
    if session is None or token is None or session.expires_at <= at:
        return "refuse"
    return "rotate" if token.used_at is None else "revoke"


async def begin(session: AsyncSession, user_id: UUID, lifetimes: Lifetimes, at: datetime) -> Refresh:
    """A new session of a user; their expired ones are deleted in passing."""
    await session.execute(sa.delete(LoginSession).where(LoginSession.user_id == user_id, LoginSession.expires_at <= at))
    login = LoginSession(user_id=user_id, id=new_id(), created_at=at, expires_at=lifetimes.expiry(at, at))
    session.add(login)
    await session.flush()
    return await _give(session, login, at)


async def rotate(session: AsyncSession, given: Refresh, lifetimes: Lifetimes, at: datetime) -> Refresh | None:
    """The successor of a refresh token; None when it is not valid, whereupon its session may have been revoked."""
    login = await session.get(LoginSession, (given.user_id, given.session_id), with_for_update=True)
    token = await session.get(RefreshToken, (given.user_id, given.session_id, given.hash)) if login else None
    verdict = judge(login, token, at)
    if verdict == "revoke":
        log.warning("a refresh token came back; its session is revoked", user_id=str(given.user_id))
        await revoke(session, given.user_id, given.session_id)
        await audit.record(session, audit.TOKEN_REUSED, actor=None, subject=given.user_id)
    if verdict != "rotate" or login is None or token is None:
        return None
    token.used_at = at
    login.expires_at = lifetimes.expiry(login.created_at, at)
    await _forget_old(session, login, at - lifetimes.refresh)
    return await _give(session, login, at)


async def revoke(session: AsyncSession, user_id: UUID, session_id: UUID) -> None:
    """End one session."""
    await session.execute(sa.delete(LoginSession).where(LoginSession.user_id == user_id, LoginSession.id == session_id))


async def revoke_others(session: AsyncSession, user_id: UUID, kept: UUID | None) -> None:
    """End all sessions of a user but one."""
    of_user = sa.delete(LoginSession).where(LoginSession.user_id == user_id)
    await session.execute(of_user.where(LoginSession.id != kept) if kept else of_user)


async def _give(session: AsyncSession, login: LoginSession, at: datetime) -> Refresh:
    given = Refresh.new(login.user_id, login.id)
    session.add(
        RefreshToken(user_id=login.user_id, session_id=login.id, token_hash=given.hash, created_at=at, used_at=None)
    )
    await session.flush()
    return given


async def _forget_old(session: AsyncSession, login: LoginSession, before: datetime) -> None:
    await session.execute(
        sa.delete(RefreshToken).where(
            RefreshToken.user_id == login.user_id,
            RefreshToken.session_id == login.id,
            RefreshToken.created_at < before,
        )
    )
