"""Signing in and out, the list of sessions, the public keys for verifying access tokens (RFC 7517), and revocations
for gateways."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Self
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Form, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from services.users import revocations
from services.users.errors import InvalidCredentials, InvalidRefreshToken, SessionNotFound
from services.users.models import LoginSession
from services.users.schemas import PasswordGrant, RefreshGrant, TokenPair
from services.users.sessions.devices import describe
from services.users.sessions.service import LoginsDep
from shared.contracts.account_errors import AccountSuspended, TooManyLogins
from shared.contracts.internal_api import REVOCATIONS_PATH, SIGN_OUT
from shared.db.dependency import DatabaseDep
from shared.errors import UnsupportedMediaType
from shared.http.examples import SCHEMAS
from shared.http.identity import Caller, CallerDep, GatewayOnly
from shared.http.openapi import described
from shared.http.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.http.tokens import UserTokens

KEYS_CACHEABLE_S = 300
FORM = "application/x-www-form-urlencoded"
BODY = {
    "requestBody": {
        "required": True,
        "description": "or the same fields as JSON",
        "content": {FORM: {"schema": {"$ref": f"{SCHEMAS}RefreshGrant"}}},
    }
}
"""One type, although both are accepted: generators of clients cannot tell two bodies with the same fields apart."""

router = APIRouter(tags=["tokens"])
own_router = APIRouter(prefix="/v1/me/sessions", tags=["accounts"])
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
    raise UnsupportedMediaType


def _validated(validate: Any, raw: Any) -> RefreshGrant:
    try:
        grant: RefreshGrant = validate(raw)
    except ValidationError as refused:
        raise RequestValidationError([e | {"loc": ("body", *e["loc"])} for e in refused.errors()]) from refused
    return grant


async def _device(user_agent: Annotated[str, Header(include_in_schema=False)] = "") -> str | None:
    return describe(user_agent)


Device = Annotated[str | None, Depends(_device)]


@router.post(
    "/v1/tokens",
    response_model=TokenPair,
    dependencies=[GatewayOnly, Depends(_no_store)],
    **described("sign_in", "Sign in", InvalidCredentials, AccountSuspended, TooManyLogins),
)
async def login(grant: Annotated[PasswordGrant, Form()], logins: LoginsDep, device: Device) -> TokenPair:
    """Sign in with address and password."""
    return await logins.login(grant, device)


@router.post(
    "/v1/tokens/refresh",
    response_model=TokenPair,
    dependencies=[GatewayOnly, Depends(_no_store)],
    openapi_extra=BODY,
    **described("refresh_token", "Exchange a refresh token", InvalidRefreshToken, UnsupportedMediaType),
)
async def refresh(
    grant: Annotated[RefreshGrant, Depends(_refresh_grant)], logins: LoginsDep, device: Device
) -> TokenPair:
    """Exchange a refresh token for new tokens. A reused token ends its session."""
    return await logins.refresh(grant.refresh_token, device)


@router.delete("/v1/tokens", status_code=HTTPStatus.NO_CONTENT, **described("sign_out", "Sign out"))
async def logout(caller: CallerDep, logins: LoginsDep) -> None:
    """End the session of the access token."""
    await logins.logout(caller)


class Session(BaseModel):
    """One sign-in. Device, address and time are those of its last sign-in or refresh; null if they are not known."""

    id: UUID
    device: str | None = Field(description="as the client names itself", examples=["Firefox on Linux"])
    address: str | None = Field(examples=["203.0.113.7"])
    created_at: datetime
    last_seen_at: datetime = Field(description="an access token is refreshed every 15 minutes")
    current: bool = Field(description="whether it is the session of this request")

    @classmethod
    def of(cls, row: LoginSession, caller: Caller) -> Self:
        return cls(
            id=row.id,
            device=row.device,
            address=row.address,
            created_at=row.created_at,
            last_seen_at=row.last_seen_at or row.created_at,
            current=row.id == caller.session_id,
        )


@own_router.get("", **described("list_sessions", "List your sessions"))
async def list_sessions(
    caller: CallerDep, logins: LoginsDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[Session]:
    """List the places where you are signed in, newest sign-in first."""
    rows = await logins.page(caller, decode_cursor(cursor), limit + 1)
    items, next_cursor = page_of(rows, limit, lambda row: row.id)
    return Page(items=[Session.of(row, caller) for row in items], next_cursor=next_cursor)


@own_router.delete("", status_code=HTTPStatus.NO_CONTENT, **described("end_other_sessions", "Sign out everywhere else"))
async def end_other_sessions(caller: CallerDep, logins: LoginsDep) -> None:
    """Sign out everywhere else. Access tokens and live streams of the other sessions end at once."""
    await logins.end_others(caller)


@own_router.delete(
    "/{session_id}", status_code=HTTPStatus.NO_CONTENT, **described("end_session", "End a session", SessionNotFound)
)
async def end_session(session_id: UUID, caller: CallerDep, logins: LoginsDep) -> None:
    """End one session, with its access tokens and live streams."""
    await logins.end_one(caller, session_id)


@router.get("/.well-known/jwks.json", **described("read_keys", "Read the keys of access tokens"))
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
    """Return the sessions, API keys and users whose credentials are revoked."""
    tokens: UserTokens = request.app.state.user_tokens
    found = await revocations.read(db, after, tokens.ttl_s)
    return Response(msgspec.json.encode(found), media_type="application/json")


@internal_router.post(SIGN_OUT)
async def sign_out(grant: RefreshGrant, logins: LoginsDep) -> Ended:
    """End the session of a refresh token. A used token still identifies its session."""
    return Ended(session_id=await logins.end(grant.refresh_token))
