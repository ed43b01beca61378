"""Registration, the caller's own profile, and user accounts for operators."""

from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from services.users.accounts.service import AccountsDep
from services.users.errors import EmailAlreadyUsed, TooManyMails, UnmailableAddress, UserNotFound, WeakPassword
from services.users.models import User
from services.users.repository import UserRepository
from services.users.schemas import (
    MAX_EMAIL,
    UNCONFIRMED,
    Account,
    Confirmation,
    Count,
    Email,
    Profile,
    ProfileChange,
    Registration,
)
from shared.contracts.account_errors import RecentSignInRequired, TooManyLogins, WrongPassword
from shared.contracts.internal_api import CONFIRM
from shared.db.dependency import DatabaseDep
from shared.db.engine import Database
from shared.http.identity import CallerDep, GatewayOnly, OperatorDep
from shared.http.openapi import described
from shared.http.pagination import MAX_PAGE, Cursor, Limit, Page, decode_cursor, page_of

NDJSON = "application/x-ndjson"
STREAM_PAGE = 500

SearchQuery = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=MAX_EMAIL,
        pattern=r"^[^\x00]*$",
        description="the id of a user, or the beginning of an address",
        examples=["ada@"],
    ),
]

router = APIRouter(tags=["accounts"])
operator_router = APIRouter(tags=["users"])


@router.post(
    "/v1/users",
    status_code=HTTPStatus.CREATED,
    response_model=Profile,
    dependencies=[GatewayOnly],
    **described("register", "Register an account", EmailAlreadyUsed, UnmailableAddress, WeakPassword, TooManyLogins),
)
async def register(body: Registration, accounts: AccountsDep, response: Response) -> User:
    """Register. The address must not belong to an existing account. A mail with a link to verify it is sent."""
    user = await accounts.register(body)
    response.headers["Location"] = f"/v1/users/{user.id}"
    return user


@router.get("/v1/me", response_model=Profile, **described("read_profile", "Read your profile", UserNotFound))
async def read_me(caller: CallerDep, accounts: AccountsDep) -> User:
    """Return your own profile."""
    return await accounts.get(caller.user_id)


@router.patch(
    "/v1/me",
    response_model=Profile,
    **described(
        "change_profile",
        "Change your profile",
        UserNotFound,
        EmailAlreadyUsed,
        UnmailableAddress,
        WrongPassword,
        RecentSignInRequired,
        WeakPassword,
        TooManyMails,
        TooManyLogins,
    ),
)
async def change_me(body: ProfileChange, caller: CallerDep, accounts: AccountsDep) -> User:
    """Change your profile. A new password ends all other sessions. A new address is used once the link in the mail to
    it has been opened and confirmed."""
    return await accounts.change(caller, body)


@router.delete(
    "/v1/me",
    status_code=HTTPStatus.NO_CONTENT,
    **described(
        "delete_account", "Delete your account", UserNotFound, WrongPassword, RecentSignInRequired, TooManyLogins
    ),
)
async def delete_me(caller: CallerDep, accounts: AccountsDep, body: Confirmation = UNCONFIRMED) -> None:
    """Delete your account permanently. Requires the password."""
    await accounts.delete(caller, body.current_password)


@router.post(
    CONFIRM,
    status_code=HTTPStatus.NO_CONTENT,
    **described("confirm_owner", "Check a password", UserNotFound, WrongPassword, TooManyLogins),
)
async def confirm(caller: CallerDep, accounts: AccountsDep, body: Confirmation = UNCONFIRMED) -> None:
    """Check the caller's password on behalf of another service."""
    await accounts.confirm_owner(caller, body.current_password)


@operator_router.get(
    "/v1/users",
    response_model=Page[Account],
    **described(
        "list_users",
        "List users",
        responses={200: {"content": {NDJSON: {}}, "description": "a page; as NDJSON all users, one per line"}},
    ),
)
async def list_users(
    _: OperatorDep,
    db: DatabaseDep,
    limit: Limit = MAX_PAGE // 2,
    cursor: Cursor = None,
    email: Annotated[Email | None, Query(description="only the user with this address")] = None,
    q: SearchQuery = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response | Page[Account]:
    """Operators: list users, newest first. With `Accept: application/x-ndjson` all of them, whatever the parameters."""
    if NDJSON in accept:
        return await _stream(db)
    return await _page(db, limit, decode_cursor(cursor), email, q)


async def _page(db: Database, limit: int, after: UUID | None, email: str | None, q: str | None) -> Page[Account]:
    async with db.begin() as session:
        users = UserRepository(session)
        if email:
            found: Sequence[User | None] = [await users.get_by_email(email)]
        elif (user_id := _uuid(q)) and (user := await users.get(user_id)):
            found = [user]
        else:
            found = await users.page(limit + 1, after, q)
    accounts = [Account.model_validate(user) for user in found if user]
    items, next_cursor = page_of(accounts, limit, lambda account: account.id)
    return Page(items=items, next_cursor=next_cursor)


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None


async def _stream(db: Database) -> Response:
    pages = UserRepository.iterate(db, STREAM_PAGE)
    first: Sequence[User] = await anext(pages, [])  # before the status is sent, so that an outage is a 503
    return StreamingResponse(_lines(first, pages), media_type=NDJSON)


async def _lines(first: Sequence[User], others: AsyncIterator[Sequence[User]]) -> AsyncIterator[str]:
    yield _encoded(first)
    async for page in others:
        yield _encoded(page)


def _encoded(users: Sequence[User]) -> str:
    return "".join(Account.model_validate(user).model_dump_json() + "\n" for user in users)


@operator_router.get("/v1/users/count", **described("count_users", "Count users"))
async def count_users(_: OperatorDep, db: DatabaseDep) -> Count:
    """Operators: count the users."""
    async with db.begin() as session:
        return Count(count=await UserRepository(session).count())


@operator_router.get(
    "/v1/users/{user_id}", response_model=Profile, **described("read_user", "Read a user's profile", UserNotFound)
)
async def read_user(user_id: UUID, caller: CallerDep, accounts: AccountsDep) -> User:
    """Return your own profile; operators may read everyone's."""
    if user_id != caller.user_id and not caller.is_operator:
        raise UserNotFound
    return await accounts.get(user_id)
