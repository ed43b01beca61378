"""Sign-ins with a provider that are under way: one row each, which is used once.

A cookie binds each to one browser. It holds a random secret, from which everything else is derived: the state, the
nonce and the PKCE verifier that the provider receives, and the ticket of the page. The database has only its hash, so
neither the database nor an address is enough to finish a sign-in.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.models import FlowPurpose, IdentityFlow
from shared.contracts.internal_api import FLOW_VALID_S
from shared.db.engine import Database
from shared.http.identity import Caller
from shared.http.tokens import b64url

VALID = timedelta(seconds=FLOW_VALID_S)
"""How long a sign-in with a provider may take, and after it the entering of a password."""
EXPIRY_EVERY_S = 60
RETURNS: tuple[FlowPurpose, ...] = ("sign_in", "link", "confirm")
"""The purposes with which a browser returns from a provider."""


@dataclass(frozen=True)
class FlowSecret:
    """The content of the cookie: 256 random bits, as text. Any other text is a secret to which no row belongs."""

    text: str

    @classmethod
    def new(cls) -> Self:
        return cls(secrets.token_urlsafe())

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def state(self) -> str:
        return self._derived("state")

    @property
    def nonce(self) -> str:
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """The code verifier (RFC 7636): 43 characters."""
        return self._derived("verifier")

    @property
    def ticket(self) -> str:
        return self._derived("ticket")

    def _derived(self, label: str) -> str:
        return b64url(hmac.digest(self.text.encode(), label.encode(), "sha256"))


def is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def begin(
    session: AsyncSession, secret: FlowSecret, purpose: FlowPurpose, provider: str, caller: Caller | None = None
) -> None:
    """Store a sign-in that begins now, for the caller if there is one."""
    session.add(
        IdentityFlow(
            id=secret.id,
            purpose=purpose,
            provider=provider,
            user_id=caller.user_id if caller else None,
            session_id=caller.session_id if caller else None,
            expires_at=sa.func.now() + VALID,
        )
    )


def ask_password(
    session: AsyncSession, secret: FlowSecret, provider: str, user_id: UUID, issuer: str, subject: str, email: str
) -> None:
    """Store that this identity is linked to an account once its password has been entered."""
    session.add(
        IdentityFlow(
            id=secret.id,
            purpose="password",
            provider=provider,
            user_id=user_id,
            issuer=issuer,
            subject=subject,
            email=email,
            expires_at=sa.func.now() + VALID,
        )
    )


async def take(session: AsyncSession, secret: FlowSecret, *purposes: FlowPurpose) -> IdentityFlow | None:
    """Delete a sign-in and return it, unless it has expired: it can be used once."""
    which = IdentityFlow.id == secret.id, IdentityFlow.purpose.in_(purposes), IdentityFlow.expires_at > sa.func.now()
    taken = sa.delete(IdentityFlow).where(*which).returning(IdentityFlow)
    flow: IdentityFlow | None = await session.scalar(taken)
    return flow


async def find(session: AsyncSession, secret: FlowSecret) -> IdentityFlow | None:
    """Return a sign-in that waits for a password, unless it has expired."""
    which = IdentityFlow.id == secret.id, IdentityFlow.purpose == "password", IdentityFlow.expires_at > sa.func.now()
    flow: IdentityFlow | None = await session.scalar(sa.select(IdentityFlow).where(*which))
    return flow


async def expire(db: Database) -> None:
    """Delete the sign-ins that were not finished in time."""
    async with db.connection() as connection:
        await connection.execute("DELETE FROM identity_flows WHERE expires_at < now()")
