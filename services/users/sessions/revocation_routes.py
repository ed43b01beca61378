"""Revocations for gateways, and ending a session by its refresh token."""

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from services.users import revocations
from services.users.schemas import RefreshGrant
from services.users.sessions.service import LoginsDep
from shared.contracts.internal_api import REVOCATIONS_PATH, SIGN_OUT
from shared.db.engine import DatabaseDep
from shared.http.identity import GatewayOnly
from shared.http.tokens import UserTokens

router = APIRouter(tags=["tokens"], dependencies=[GatewayOnly])


class Ended(BaseModel):
    """The ended session; null if the refresh token belongs to none."""

    session_id: UUID | None


@router.get(REVOCATIONS_PATH)
async def read_revocations(
    request: Request, db: DatabaseDep, after: Annotated[int, Query(ge=0, lt=2**63)] = 0
) -> Response:
    """Return sessions and users whose access tokens are revoked."""
    tokens: UserTokens = request.app.state.user_tokens
    found = await revocations.read(db, after, tokens.ttl_s)
    return Response(msgspec.json.encode(found), media_type="application/json")


@router.post(SIGN_OUT)
async def sign_out(grant: RefreshGrant, logins: LoginsDep) -> Ended:
    """End the session of a refresh token. A used token still identifies its session."""
    return Ended(session_id=await logins.end(grant.refresh_token))
