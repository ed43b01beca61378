"""Sessions and their refresh tokens, as rows. Locks are taken in the order users, sessions, refresh tokens."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users import revocations
from services.users.audit import repository as audit
from services.users.models import LoginSession, RefreshToken
from services.users.settings import Settings
from shared.http.identity import client_address
from shared.http.tokens import b64url, b64url_decode
from shared.ids import new_id
from shared.observability.logs import get_logger

log = get_logger(__name__)

_ID, _SECRET = 16, 32
GRACE = timedelta(seconds=30)
"""A client that lost the response to a refresh may repeat it for this long; several tabs may refresh at once."""


@dataclass(frozen=True)
class Refresh:
    """The content of a refresh token: the session that it continues, and a secret. Looked up by the user's id, like
    everything else."""

    user_id: UUID
    session_id: UUID
    secret: bytes

    @classmethod
    def new(cls, user_id: UUID, session_id: UUID) -> Self:
        return cls(user_id, session_id, secrets.token_bytes(_SECRET))

    def successor(self, nonce: bytes) -> Self:
        """Derive the successor of this token. It requires both the token and the nonce in its row."""
        return replace(self, secret=hmac.digest(self.secret, nonce, "sha256"))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a refresh token; None if it is malformed."""
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
        """Return when a session that began then and is refreshed `at` expires, unless it is refreshed again."""
        return min(at + self.refresh, began + self.session)


Verdict = Literal["rotate", "repeat", "refuse", "revoke"]


def judge(
    session: LoginSession | None, token: RefreshToken | None, at: datetime, successor: RefreshToken | None = None
) -> Verdict:
    """Decide what to do with a refresh token.

    A used token gets the same successor again for a short time, while that is unused: its response was lost. Later, or
    once the successor was used, one of the two has been stolen, and the session ends.
    """
    if session is None or token is None or session.expires_at <= at:
        return "refuse"
    if token.used_at is None:
        return "rotate"
    lost = successor is not None and successor.used_at is None and at - token.used_at <= GRACE
    return "repeat" if lost else "revoke"


async def begin(
    session: AsyncSession,
    user_id: UUID,
    lifetimes: Lifetimes,
    at: datetime,
    device: str | None = None,
    proved_at: datetime | None = None,
) -> Refresh:
    """Create a session of a user, and delete their expired ones. `proved_at`: when an identity provider made sure who
    the user is."""
    await session.execute(sa.delete(LoginSession).where(LoginSession.user_id == user_id, LoginSession.expires_at <= at))
    expires_at = lifetimes.expiry(at, at)
    login = LoginSession(user_id=user_id, id=new_id(), created_at=at, expires_at=expires_at, proved_at=proved_at)
    _see(login, device, at)
    session.add(login)
    await session.flush()
    return await _give(session, Refresh.new(user_id, login.id), at)


async def rotate(
    session: AsyncSession, given: Refresh, lifetimes: Lifetimes, device: str | None = None
) -> Refresh | None:
    """Return the successor of a refresh token, or None if it is invalid; its session may then have been revoked."""
    login = await session.get(LoginSession, (given.user_id, given.session_id), with_for_update=True)
    # The database's clock, read after taking the lock: the grace period begins then.
    at = (await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    token = await _row(session, given) if login else None
    successor = given.successor(token.nonce) if token and token.nonce else None
    match judge(login, token, at, await _row(session, successor) if successor else None):
        case "repeat":
            return successor
        case "rotate" if login and token:
            _see(login, device, at)
            return await _replace(session, login, token, given, lifetimes, at)
        case "revoke":
            log.warning("refresh token reused; its session is revoked", user_id=str(given.user_id))
            await revoke(session, given.user_id, given.session_id)
            await audit.record(session, audit.TOKEN_REUSED, actor=None, subject=given.user_id)
    return None


async def end(session: AsyncSession, given: Refresh) -> bool:
    """End the session of a refresh token, used or not; return whether there was one."""
    login = await session.get(LoginSession, (given.user_id, given.session_id), with_for_update=True)
    if login is None or await _row(session, given) is None:
        return False
    await revoke(session, given.user_id, given.session_id)
    return True


async def page(session: AsyncSession, user_id: UUID, after: UUID | None, limit: int) -> Sequence[LoginSession]:
    """Return a user's sessions that have not expired, newest first."""
    query = sa.select(LoginSession).where(LoginSession.user_id == user_id, LoginSession.expires_at > sa.func.now())
    if after is not None:
        query = query.where(LoginSession.id < after)
    return (await session.scalars(query.order_by(LoginSession.id.desc()).limit(limit))).all()


async def is_recent(session: AsyncSession, user_id: UUID, session_id: UUID | None, within: timedelta) -> bool:
    """Return whether a session of a user began in this time."""
    which = LoginSession.user_id == user_id, LoginSession.id == session_id
    query = sa.select(LoginSession.id).where(*which, LoginSession.created_at > sa.func.now() - within)
    return session_id is not None and await session.scalar(query) is not None


async def is_proved(session: AsyncSession, user_id: UUID, session_id: UUID | None, within: timedelta) -> bool:
    """Return whether an identity provider has made sure in this time who the user of a session is."""
    which = LoginSession.user_id == user_id, LoginSession.id == session_id
    query = sa.select(LoginSession.id).where(*which, LoginSession.proved_at > sa.func.now() - within)
    return session_id is not None and await session.scalar(query) is not None


async def prove(session: AsyncSession, user_id: UUID, session_id: UUID, at: datetime) -> bool:
    """Store that an identity provider has made sure `at` that time who the user is; return whether there is such a
    session."""
    which = LoginSession.user_id == user_id, LoginSession.id == session_id, LoginSession.expires_at > sa.func.now()
    update = sa.update(LoginSession).where(*which).values(proved_at=at).returning(LoginSession.id)
    return await session.scalar(update) is not None


async def is_open(session: AsyncSession, user_id: UUID, session_id: UUID) -> bool:
    """Return whether a user has this session."""
    which = LoginSession.user_id == user_id, LoginSession.id == session_id, LoginSession.expires_at > sa.func.now()
    return await session.scalar(sa.select(LoginSession.id).where(*which)) is not None


async def revoke(session: AsyncSession, user_id: UUID, session_id: UUID) -> bool:
    """End one session; return whether there was one."""
    which = LoginSession.user_id == user_id, LoginSession.id == session_id
    return bool(await revocations.end_sessions(session, *which))


async def revoke_others(session: AsyncSession, user_id: UUID, kept: UUID | None) -> None:
    """End all sessions of a user except one."""
    others = (LoginSession.id != kept,) if kept else ()
    await revocations.end_sessions(session, LoginSession.user_id == user_id, *others)


def _see(login: LoginSession, device: str | None, at: datetime) -> None:
    login.device = device
    login.address = client_address.get()
    login.last_seen_at = at


async def _row(session: AsyncSession, token: Refresh) -> RefreshToken | None:
    return await session.get(RefreshToken, (token.user_id, token.session_id, token.hash))


async def _replace(
    session: AsyncSession, login: LoginSession, token: RefreshToken, given: Refresh, lifetimes: Lifetimes, at: datetime
) -> Refresh:
    token.used_at = at
    token.nonce = secrets.token_bytes(_SECRET)
    login.expires_at = lifetimes.expiry(login.created_at, at)
    await _forget_old(session, login, at - lifetimes.refresh)
    return await _give(session, given.successor(token.nonce), at)


async def _give(session: AsyncSession, given: Refresh, at: datetime) -> Refresh:
    session.add(
        RefreshToken(
            user_id=given.user_id,
            session_id=given.session_id,
            token_hash=given.hash,
            created_at=at,
            used_at=None,
            nonce=None,
        )
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
