"""Signing in, refreshing, signing out, and the list of sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.audit import repository as audit
from services.users.errors import InvalidCredentials, InvalidRefreshToken, SessionNotFound
from services.users.models import LoginSession, User
from services.users.passwords import Passwords
from services.users.repository import UserRepository
from services.users.schemas import PasswordGrant, TokenPair
from services.users.sessions import repository as sessions
from services.users.sessions.repository import Lifetimes, Refresh
from shared.contracts.account_errors import AccountSuspended
from shared.db.engine import Database, clock
from shared.http.identity import Caller
from shared.http.tokens import UserTokens


class Logins:
    """Issues access tokens and the corresponding refresh tokens. `device` describes the client."""

    def __init__(self, db: Database, passwords: Passwords, tokens: UserTokens, lifetimes: Lifetimes) -> None:
        self._db = db
        self._passwords = passwords
        self._tokens = tokens
        self._lifetimes = lifetimes

    async def login(self, grant: PasswordGrant, device: str | None = None) -> TokenPair:
        """Raises `InvalidCredentials`; an unknown address costs the same work as a wrong password. With the right
        password, raises `AccountSuspended`."""
        async with self._db.begin() as session:
            user = await UserRepository(session).get_by_email(grant.username)
        checked = await self._passwords.verify(grant.password, user.password_hash if user else None, grant.username)
        if user is None or not checked.valid:
            async with self._db.begin() as session:
                await audit.record(session, audit.SIGN_IN_FAILED, actor=None, subject=user.id if user else None)
            raise InvalidCredentials
        if user.suspended_at is not None:
            async with self._db.begin() as session:
                await audit.record(session, audit.SIGN_IN_FAILED, actor=None, subject=user.id, detail="suspended")
            raise AccountSuspended
        return await self._begin_session(user, checked.renewed, device)

    async def _begin_session(self, verified: User, renewed_hash: str | None, device: str | None) -> TokenPair:
        async with self._db.begin() as session:
            user = await UserRepository(session).get(verified.id, lock=True)
            if user is None or user.password_hash != verified.password_hash:
                raise InvalidCredentials("The password has been changed in the meantime")
            if user.suspended_at is not None:
                raise AccountSuspended
            user.password_hash = renewed_hash or user.password_hash
            refresh = await sessions.begin(session, user.id, self._lifetimes, await clock(session), device)
            await audit.record(session, audit.SIGNED_IN, actor=user.id, role=user.role, subject=user.id)
        return self._pair(user, refresh)

    async def begin(self, session: AsyncSession, user: User, device: str | None, proved_at: datetime) -> TokenPair:
        """Begin a session of a locked user whom an identity provider has signed in. `proved_at` is when it made sure
        who they are."""
        at = await clock(session)
        refresh = await sessions.begin(session, user.id, self._lifetimes, at, device, proved_at)
        return self._pair(user, refresh)

    async def refresh(self, refresh_token: str, device: str | None = None) -> TokenPair:
        """Rotate the token. Raises `InvalidRefreshToken`, after revoking the session of a stolen one."""
        given = Refresh.parse(refresh_token)
        if given is None:
            raise InvalidRefreshToken
        async with self._db.begin() as session:
            successor = await sessions.rotate(session, given, self._lifetimes, device)
            user = await UserRepository(session).get(given.user_id)
        if successor is None or user is None or user.suspended_at is not None:
            raise InvalidRefreshToken
        return self._pair(user, successor)

    async def logout(self, caller: Caller) -> None:
        if caller.session_id:
            async with self._db.begin() as session:
                await sessions.revoke(session, caller.user_id, caller.session_id)
                await self._record(session, audit.SIGNED_OUT, caller)

    async def page(self, caller: Caller, after: UUID | None, limit: int) -> Sequence[LoginSession]:
        """Return the caller's sessions, newest first."""
        async with self._db.begin() as session:
            return await sessions.page(session, caller.user_id, after, limit)

    async def end_one(self, caller: Caller, session_id: UUID) -> None:
        """End one of the caller's sessions, possibly their own. Raises `SessionNotFound`."""
        async with self._db.begin() as session:
            if not await sessions.revoke(session, caller.user_id, session_id):
                raise SessionNotFound
            await self._record(session, audit.SESSION_ENDED, caller, f"id={session_id}")

    async def end_others(self, caller: Caller) -> None:
        """End all of the caller's sessions except the one that asks."""
        async with self._db.begin() as session:
            await sessions.revoke_others(session, caller.user_id, kept=caller.session_id)
            await self._record(session, audit.OTHER_SESSIONS_ENDED, caller)

    async def end(self, refresh_token: str) -> UUID | None:
        """Sign out by a refresh token; returns the ended session, or None if it belongs to none."""
        given = Refresh.parse(refresh_token)
        if given is None:
            return None
        async with self._db.begin() as session:
            if not await sessions.end(session, given):
                return None
            await audit.record(session, audit.SIGNED_OUT, actor=given.user_id, subject=given.user_id)
        return given.session_id

    async def _record(self, session: AsyncSession, action: str, caller: Caller, detail: str | None = None) -> None:
        who = caller.user_id
        await audit.record(session, action, actor=who, role=caller.role, subject=who, detail=detail)

    def _pair(self, user: User, refresh: Refresh) -> TokenPair:
        access_token = self._tokens.issue(user.id, refresh.session_id, user.role)
        return TokenPair(access_token=access_token, expires_in=self._tokens.ttl_s, refresh_token=str(refresh))


async def _logins(request: Request) -> Logins:
    logins: Logins = request.app.state.logins
    return logins


LoginsDep = Annotated[Logins, Depends(_logins)]
"""The one that the lifespan has made."""
