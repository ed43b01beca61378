"""Signing in and out, the public keys for verifying access tokens (RFC 7517), and revocations for gateways."""

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from services.users import revocations
from services.users.schemas import PasswordGrant, RefreshGrant, TokenPair
from services.users.sessions.service import LoginsDep
from shared.contracts.internal_api import REVOCATIONS_PATH, SIGN_OUT
from shared.db.engine import DatabaseDep
from shared.http.identity import CallerDep, GatewayOnly
from shared.http.tokens import UserTokens

KEYS_CACHEABLE_S = 300
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
EITHER_BODY = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": RefreshGrant.model_json_schema()} for kind in (JSON, FORM)},
    }
}

router = APIRouter(tags=["tokens"])
internal_router = APIRouter(tags=["tokens"], dependencies=[GatewayOnly])


async def _no_store(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


async def _refresh_grant(request: Request) -> RefreshGrant:
    """Parse the body, as JSON or as form."""
    match request.headers.get("Content-Type", "").partition(";")[0].strip().lower():
        case "application/json":
            return _validated(RefreshGrant.model_validate_json, await request.body())
        case "application/x-www-form-urlencoded":
            return _validated(RefreshGrant.model_validate, dict(await request.form()))
    raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def _validated(validate: Any, raw: Any) -> RefreshGrant:
    try:
        grant: RefreshGrant = validate(raw)
    except ValidationError as refused:
        raise RequestValidationError([e | {"loc": ("body", *e["loc"])} for e in refused.errors()]) from refused
    return grant


@router.post("/v1/tokens", response_model=TokenPair, dependencies=[GatewayOnly, Depends(_no_store)])
async def login(grant: Annotated[PasswordGrant, Form()], logins: LoginsDep) -> TokenPair:
    """Sign in with address and password."""
    return await logins.login(grant)


@router.post(
    "/v1/tokens/refresh",
    response_model=TokenPair,
    dependencies=[GatewayOnly, Depends(_no_store)],
    openapi_extra=EITHER_BODY,
)
async def refresh(grant: Annotated[RefreshGrant, Depends(_refresh_grant)], logins: LoginsDep) -> TokenPair:
    """Exchange a refresh token for new tokens. A reused token ends its session."""
    return await logins.refresh(grant.refresh_token)


@router.delete("/v1/tokens", status_code=HTTPStatus.NO_CONTENT)
async def logout(caller: CallerDep, logins: LoginsDep) -> None:
    """End the session of the access token."""
    await logins.logout(caller)


@router.get("/.well-known/jwks.json")
async def read_keys(request: Request, response: Response) -> dict[str, Any]:
    """Return the keys for verifying access tokens, as a JWK set."""
    tokens: UserTokens = request.app.state.user_tokens
    response.headers["Cache-Control"] = f"public, max-age={KEYS_CACHEABLE_S}"
    return tokens.jwks


class Ended(BaseModel):
    """The ended session; null if the refresh token belongs to none."""

    session_id: UUID | None


@internal_router.get(REVOCATIONS_PATH)
async def read_revocations(
    request: Request, db: DatabaseDep, after: Annotated[int, Query(ge=0, lt=2**63)] = 0
) -> Response:
    """Return sessions and users whose access tokens are revoked."""
    tokens: UserTokens = request.app.state.user_tokens
    found = await revocations.read(db, after, tokens.ttl_s)
    return Response(msgspec.json.encode(found), media_type="application/json")


@internal_router.post(SIGN_OUT)
async def sign_out(grant: RefreshGrant, logins: LoginsDep) -> Ended:
    """End the session of a refresh token. A used token still identifies its session."""
    return Ended(session_id=await logins.end(grant.refresh_token))
