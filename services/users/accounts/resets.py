"""Resets of forgotten passwords.

A request is only stored, so that it takes the same time whether or not the address has an account. A background task
looks the account up and requests the mail.
"""

import asyncio
from contextlib import suppress
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.accounts import links, mails
from services.users.accounts.credentials import revoke_credentials
from services.users.accounts.profile import updated
from services.users.audit import repository as audit
from services.users.audit.repository import Origin
from services.users.models import ResetRequest, User
from services.users.passwords import Passwords, refuse_weak
from services.users.repository import UserRepository
from shared.contracts.account_errors import InvalidLink
from shared.db.engine import Database
from shared.ids import new_id
from shared.outbox.outbox import add

EVERY_S = 5.0
"""How often requests are looked for that a process has stored and not processed."""
BATCH = 100


class PasswordResets:
    def __init__(self, db: Database, passwords: Passwords) -> None:
        self._db = db
        self._passwords = passwords
        self._stored = asyncio.Event()

    async def request(self, email: str) -> None:
        """Store a request for an address, which may have no account."""
        origin = Origin.of_request()
        async with self._db.begin() as session:
            session.add(ResetRequest(id=new_id(), email=email, address=origin.address, request_id=origin.request_id))
        self._stored.set()

    async def confirm(self, token: str, password: str) -> None:
        """Set a new password, and end all sessions. Raises `InvalidLink`, `AccountSuspended`, `WeakPassword`; a weak
        password leaves the link valid."""
        try:
            async with self._db.begin() as session:
                user, _ = await links.find(session, token, "reset")
            refuse_weak(password, user.email, user.name)
            new_hash = await self._passwords.hash(password, user.email)
            async with self._db.begin() as session:
                user, _ = await links.find(session, token, "reset")
                await _set_password(session, user, new_hash)
        except InvalidLink:
            await links.record_refusal(self._db, token)
            raise

    async def run(self) -> None:
        """Process requests. Runs until cancelled."""
        while True:
            self._stored.clear()
            while await self.process():
                pass
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._stored.wait()

    async def process(self) -> bool:
        """Process some requests; return whether there may be more."""
        oldest = sa.select(ResetRequest.id).order_by(ResetRequest.id).limit(BATCH).with_for_update(skip_locked=True)
        taken = sa.delete(ResetRequest).where(ResetRequest.id.in_(oldest)).returning(ResetRequest)
        async with self._db.begin() as session:
            requests = (await session.scalars(taken)).all()
            for request in sorted(requests, key=lambda each: each.email.casefold()):
                await _process(session, request)
        return len(requests) == BATCH


async def _process(session: AsyncSession, request: ResetRequest) -> None:
    user = await UserRepository(session).get_by_email(request.email)
    origin, subject = Origin(request.address, request.request_id), user.id if user else None
    await audit.record(session, audit.RESET_REQUESTED, actor=None, subject=subject, origin=origin)
    if user is None or user.suspended_at is not None or await mails.count(session, "reset", user.email):
        return
    mails.send_link(session, user.id, "reset", user.email)


async def _set_password(session: AsyncSession, user: User, new_hash: str) -> None:
    """Who receives mails to the address owns it: a reset also verifies it."""
    became_verified = not user.email_verified
    changes = {"email_verified": True, "pending_email": None, "expires_at": None}
    await UserRepository(session).update(user, password_hash=new_hash, **changes)
    await revoke_credentials(session, user.id, "reset")
    await mails.end_pause(session, "reset", user.email)
    await mails.send_notice(session, user, "password_reset")
    await audit.record(session, audit.PASSWORD_RESET, actor=None, subject=user.id)
    if became_verified:
        await add(session, updated(user))


async def _resets(request: Request) -> PasswordResets:
    resets: PasswordResets = request.app.state.password_resets
    return resets


ResetsDep = Annotated[PasswordResets, Depends(_resets)]
"""The instance that the lifespan has created."""
