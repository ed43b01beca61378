"""The configured providers, the caller's identities, and the steps of a sign-in that gateways take for browsers."""

from datetime import datetime
from http import HTTPStatus
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from services.users import errors
from services.users.identities.service import PATH, IdentitiesDep
from services.users.schemas import TokenPair
from services.users.sessions.routes import Device
from shared.contracts import account_errors
from shared.contracts.internal_api import (
    IDENTITY_CALLBACKS,
    IDENTITY_FLOWS,
    IDENTITY_LINK_ACCOUNT,
    IDENTITY_LINKS,
    FlowRequest,
    FlowReturn,
    LinkPassword,
    LinkTicket,
)
from shared.http.identity import CallerDep, GatewayOnly, OptionalCallerDep
from shared.http.openapi import described
from shared.http.pagination import Cursor, Limit, Page, decode_cursor, page_of

router = APIRouter(prefix=PATH, tags=["tokens"], dependencies=[GatewayOnly])
own_router = APIRouter(prefix="/v1/me/identities", tags=["accounts"])
internal_router = APIRouter(tags=["tokens"], dependencies=[GatewayOnly])


class ProviderView(BaseModel):
    name: str = Field(description="in the paths", examples=["example"])
    title: str = Field(description="to show on a button", examples=["Example"])


@router.get("", **described("list_identity_providers", "List the identity providers"))
async def list_identity_providers(identities: IdentitiesDep) -> list[ProviderView]:
    """List the identity providers with which people can sign in. Empty if none is configured."""
    configs = (provider.config for provider in identities.providers)
    return [ProviderView(name=config.name, title=config.title) for config in configs]


class IdentityView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    provider: str = Field(description="the name of the provider", examples=["example"])
    issuer: str = Field(examples=["https://id.example.com"])
    subject: str = Field(description="you, as the provider names you", examples=["248289761001"])
    email: str | None = Field(
        description="your address at the provider, when the identity was linked", examples=["ann@example.com"]
    )
    created_at: datetime
    last_used_at: datetime | None


@own_router.get("", **described("list_identities", "List your identities"))
async def list_identities(
    caller: CallerDep, identities: IdentitiesDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[IdentityView]:
    """List the identities with which you can sign in, newest first."""
    rows = await identities.page(caller.user_id, decode_cursor(cursor), limit + 1)
    items, next_cursor = page_of(rows, limit, lambda row: row.id)
    return Page(items=[IdentityView.model_validate(row) for row in items], next_cursor=next_cursor)


@own_router.delete(
    "/{identity_id}",
    status_code=HTTPStatus.NO_CONTENT,
    **described("unlink_identity", "Remove an identity", errors.IdentityNotFound, errors.LastSignInMethod),
)
async def unlink_identity(identity_id: UUID, caller: CallerDep, identities: IdentitiesDep) -> None:
    """Remove an identity. The only way to sign in to an account cannot be removed."""
    await identities.unlink(caller, identity_id)


@internal_router.post(
    IDENTITY_FLOWS,
    **described(
        "begin_identity_flow",
        "Begin a sign-in with a provider",
        *(
            account_errors.IdentityProviderNotFound,
            account_errors.IdentityProviderUnavailable,
            account_errors.RecentSignInRequired,
            account_errors.WrongPassword,
            account_errors.TooManyLogins,
            errors.PageUnknown,
        ),
    ),
)
async def begin_flow(body: FlowRequest, caller: OptionalCallerDep, identities: IdentitiesDep) -> Response:
    """Begin a sign-in with a provider."""
    return _json(await identities.start(body, caller))


@internal_router.post(
    IDENTITY_CALLBACKS,
    **described("finish_identity_flow", "Finish a sign-in with a provider", account_errors.IdentityProviderNotFound),
)
async def finish_flow(body: FlowReturn, identities: IdentitiesDep, device: Device) -> Response:
    """Finish a sign-in, when the browser has returned."""
    return _json(await identities.finish(body, device))


class LinkAccount(BaseModel):
    email: str = Field(examples=["ann@example.com"])


@internal_router.post(
    IDENTITY_LINK_ACCOUNT, **described("read_link_account", "Read the account of a ticket", account_errors.InvalidLink)
)
async def read_link_account(body: LinkTicket, identities: IdentitiesDep) -> LinkAccount:
    """Return the account whose password a ticket needs, to count attempts at it."""
    return LinkAccount(email=await identities.account_of(body.secret, body.ticket))


@internal_router.post(
    IDENTITY_LINKS,
    **described(
        "link_identity",
        "Link an identity and sign in",
        *(
            account_errors.InvalidLink,
            account_errors.WrongPassword,
            account_errors.AccountSuspended,
            account_errors.AlreadyLinked,
            account_errors.TooManyIdentities,
            account_errors.TooManyLogins,
        ),
    ),
)
async def link_identity(body: LinkPassword, identities: IdentitiesDep, device: Device) -> TokenPair:
    """Link an identity to the account with this password, and sign in."""
    return await identities.link(body.secret, body.ticket, body.password, device)


def _json(content: msgspec.Struct) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(content), media_type="application/json", headers=headers)
