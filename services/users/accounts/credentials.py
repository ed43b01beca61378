"""What acts for an account without its password: sessions, API keys, links in mails, and what was set up with them."""

from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.users import revocations
from services.users.accounts import links
from services.users.models import ApiKey
from services.users.sessions import repository as sessions
from shared.contracts.events import CredentialsRevoked
from shared.db.engine import clock
from shared.outbox.outbox import add

Proof = Literal["verified", "reset"]


async def end_access(session: AsyncSession, user_id: UUID, *, kept: UUID | None = None) -> None:
    """End everything that grants access to an account, except one session."""
    await links.end(session, user_id)
    await sessions.revoke_others(session, user_id, kept)
    await revocations.end_api_keys(session, ApiKey.user_id == user_id)


async def revoke_credentials(session: AsyncSession, user_id: UUID, proof: Proof, *, kept: UUID | None = None) -> None:
    """End all access to an account whose owner has just proved to own its address, except one session, and disable its
    webhooks: another person may have set them up."""
    await end_access(session, user_id, kept=kept)
    await add(session, CredentialsRevoked(user_id=user_id, reason=proof, revoked_at=await clock(session)))
