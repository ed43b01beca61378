"""Registration, and one's own profile."""

from http import HTTPStatus

from fastapi import APIRouter, Response

from services.users.accounts.service import AccountsDep
from services.users.models import User
from services.users.schemas import UNCONFIRMED, Confirmation, Profile, ProfileChange, Registration
from shared.contracts.internal_api import CONFIRM
from shared.http.identity import CallerDep, GatewayOnly

router = APIRouter(tags=["accounts"])


@router.post("/v1/users", status_code=HTTPStatus.CREATED, response_model=Profile, dependencies=[GatewayOnly])
async def register(body: Registration, accounts: AccountsDep, response: Response) -> User:
    """Register; the address must not belong to an account yet."""
    user = await accounts.register(body)
    response.headers["Location"] = f"/v1/users/{user.id}"
    return user


@router.get("/v1/me", response_model=Profile)
async def read_me(caller: CallerDep, accounts: AccountsDep) -> User:
    """One's own profile."""
    return await accounts.get(caller.user_id)


@router.patch("/v1/me", response_model=Profile)
async def change_me(body: ProfileChange, caller: CallerDep, accounts: AccountsDep) -> User:
    """Change one's profile. A new password ends all other sessions."""
    return await accounts.change(caller, body)


@router.delete("/v1/me", status_code=HTTPStatus.NO_CONTENT)
async def delete_me(caller: CallerDep, accounts: AccountsDep, body: Confirmation = UNCONFIRMED) -> None:
    """Delete the account, for good. Asks for the password."""
    await accounts.delete(caller, body.current_password)


@router.post(CONFIRM, status_code=HTTPStatus.NO_CONTENT)
async def confirm(caller: CallerDep, accounts: AccountsDep, body: Confirmation = UNCONFIRMED) -> None:
    """For what another service does once the caller has given their password."""
    await accounts.confirm(caller, body.current_password)
