"""Logging in and out."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from services.users.schemas import PasswordGrant, RefreshGrant, TokenPair
from services.users.sessions.service import LoginsDep
from shared.http.identity import CallerDep, GatewayOnly

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
EITHER_BODY = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": RefreshGrant.model_json_schema()} for kind in (JSON, FORM)},
    }
}

router = APIRouter(tags=["tokens"])


async def _no_store(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


async def _refresh_grant(request: Request) -> RefreshGrant:
    """The body, as JSON or as form."""
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
    """Log in with address and password."""
    return await logins.login(grant)


@router.post(
    "/v1/tokens/refresh",
    response_model=TokenPair,
    dependencies=[GatewayOnly, Depends(_no_store)],
    openapi_extra=EITHER_BODY,
)
async def refresh(grant: Annotated[RefreshGrant, Depends(_refresh_grant)], logins: LoginsDep) -> TokenPair:
    """Exchange a refresh token for new tokens. One that was used before ends its session."""
    return await logins.refresh(grant.refresh_token)


@router.delete("/v1/tokens", status_code=HTTPStatus.NO_CONTENT)
async def logout(caller: CallerDep, logins: LoginsDep) -> None:
    """End the session that the access token belongs to."""
    await logins.logout(caller)
