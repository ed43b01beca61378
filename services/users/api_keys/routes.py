"""The caller's API keys, and their lookup by gateways."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from services.users.api_keys.service import ApiKeysDep
from services.users.errors import ApiKeyNotFound, TooManyApiKeys, UserNotFound
from services.users.schemas import Body, GivenPassword, VisibleText
from shared.contracts.account_errors import RecentSignInRequired, WrongPassword
from shared.http.api_keys import LOOKUP_PATH, KeyScope
from shared.http.identity import CallerDep, GatewayOnly
from shared.http.openapi import described
from shared.http.pagination import Cursor, Limit, Page, decode_cursor, page_of

router = APIRouter(prefix="/v1/me/api-keys", tags=["accounts"])
internal_router = APIRouter(tags=["accounts"], dependencies=[GatewayOnly])


def _each_once(scopes: list[KeyScope]) -> list[KeyScope]:
    return list(dict.fromkeys(scopes))


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar") from None


KeyName = Annotated[VisibleText, Field(description="to recognise the key by", examples=["nightly import"])]
Scopes = Annotated[
    list[KeyScope],
    Field(
        min_length=1,
        max_length=10,
        description="`read` for GET, `write` for all other methods, `admin` for the routes of operators",
    ),
    AfterValidator(_each_once),
]
Expiry = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class NewApiKey(Body):
    """`current_password` is required, unless the session began in the last five minutes."""

    name: KeyName
    scopes: Scopes
    expires_at: Expiry | None = Field(None, description="null for a key that does not expire")
    current_password: GivenPassword | SkipJsonSchema[None] = None


class CreatedApiKey(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str = Field(examples=["nightly import"])
    key: str = Field(description="shown only once", examples=["dsh_…"])
    scopes: list[KeyScope]
    expires_at: datetime | None
    created_at: datetime


class ApiKeyView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str = Field(examples=["nightly import"])
    prefix: str = Field(description="the beginning of the key", examples=["dsh_4fQz81"])
    scopes: list[KeyScope]
    expires_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None = Field(description="to the minute")


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    **described(
        "create_api_key", "Create an API key", UserNotFound, WrongPassword, RecentSignInRequired, TooManyApiKeys
    ),
)
async def create_api_key(body: NewApiKey, caller: CallerDep, api_keys: ApiKeysDep, response: Response) -> CreatedApiKey:
    """Create an API key, for programs. Its scopes cannot exceed your role. The key is shown only now."""
    row, key = await api_keys.create(
        caller,
        name=body.name,
        scopes=body.scopes,
        expires_at=body.expires_at,
        current_password=body.current_password,
    )
    response.headers["Cache-Control"] = "no-store"
    return CreatedApiKey(
        id=row.id, name=row.name, key=key, scopes=row.scopes, expires_at=row.expires_at, created_at=row.created_at
    )


@router.get("", **described("list_api_keys", "List your API keys"))
async def list_api_keys(
    caller: CallerDep, api_keys: ApiKeysDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[ApiKeyView]:
    """List your API keys, newest first, without the keys themselves."""
    rows = await api_keys.page(caller.user_id, decode_cursor(cursor), limit + 1)
    items, next_cursor = page_of(rows, limit, lambda row: row.id)
    return Page(items=[ApiKeyView.model_validate(row) for row in items], next_cursor=next_cursor)


@router.delete(
    "/{key_id}", status_code=HTTPStatus.NO_CONTENT, **described("delete_api_key", "Delete an API key", ApiKeyNotFound)
)
async def delete_api_key(key_id: UUID, caller: CallerDep, api_keys: ApiKeysDep) -> None:
    """Delete an API key. Every gateway refuses it at once, and ends its live streams."""
    await api_keys.delete(caller, key_id)


class Lookup(Body):
    key_hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@internal_router.post(LOOKUP_PATH)
async def look_up_api_key(body: Lookup, api_keys: ApiKeysDep) -> Response:
    """Return the API key with this hash, if it is valid, and the role of its owner."""
    found = await api_keys.look_up(bytes.fromhex(body.key_hash))
    return Response(msgspec.json.encode(found), media_type="application/json")
