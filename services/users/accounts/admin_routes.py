"""What operators see of accounts, and what administrators do with them.

Roles are granted only at a shell: see `administration`.
"""

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter

from services.users.accounts import administration
from services.users.accounts.administration import locked
from services.users.accounts.verification import mark_verified
from services.users.audit.repository import Actor
from services.users.errors import EmailAlreadyUsed, NoResetOfSuspended, OwnAccount, UserNotFound
from services.users.repository import UserRepository
from services.users.schemas import Account, AccountDetail
from shared.db.dependency import DatabaseDep
from shared.http.identity import AdminDep, OperatorDep
from shared.http.openapi import described

router = APIRouter(prefix="/v1/admin/users/{user_id}", tags=["operators"])


@router.get("", **described("read_account", "Read an account", UserNotFound))
async def read_account(user_id: UUID, _: OperatorDep, db: DatabaseDep) -> AccountDetail:
    """Return an account as operators see it."""
    async with db.begin() as session:
        user = await UserRepository(session).get(user_id)
        if user is None:
            raise UserNotFound
        account = Account.model_validate(user)
        return AccountDetail(**dict(account), sessions=await administration.count_sessions(session, user_id))


@router.post(
    "/reset-password",
    status_code=HTTPStatus.ACCEPTED,
    **described("reset_user_password", "Mail a link for a new password", UserNotFound, NoResetOfSuspended),
)
async def reset_password(user_id: UUID, caller: AdminDep, db: DatabaseDep) -> None:
    """Mail the owner of an account a link for a new password. 409 if the account is suspended."""
    async with db.begin() as session:
        user = await locked(session, user_id)
        if user.suspended_at is not None:
            raise NoResetOfSuspended
        await administration.mail_reset(session, user, Actor.of(caller))


@router.post(
    "/suspend",
    status_code=HTTPStatus.NO_CONTENT,
    **described("suspend_user", "Suspend an account", UserNotFound, OwnAccount),
)
async def suspend(user_id: UUID, caller: AdminDep, db: DatabaseDep) -> None:
    """Suspend an account: its sessions and streams end, and it cannot sign in."""
    async with db.begin() as session:
        await administration.suspend(session, await locked(session, user_id), Actor.of(caller))


@router.post(
    "/unsuspend", status_code=HTTPStatus.NO_CONTENT, **described("unsuspend_user", "Lift a suspension", UserNotFound)
)
async def unsuspend(user_id: UUID, caller: AdminDep, db: DatabaseDep) -> None:
    """Let a suspended account sign in again."""
    async with db.begin() as session:
        await administration.unsuspend(session, await locked(session, user_id), Actor.of(caller))


@router.post(
    "/verify",
    status_code=HTTPStatus.NO_CONTENT,
    **described("verify_user", "Mark an address as verified", UserNotFound, EmailAlreadyUsed),
)
async def verify(user_id: UUID, caller: AdminDep, db: DatabaseDep) -> None:
    """Mark the address of an account as verified. If it was not, all sessions of the account end."""
    async with db.begin() as session:
        await mark_verified(session, await locked(session, user_id), Actor.of(caller))
