"""Links in mails: what opens them, what requests them, and how the worker obtains them when it sends a mail."""

from http import HTTPStatus
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response

from services.users.accounts import links
from services.users.accounts.resets import ResetsDep
from services.users.accounts.verification import VerificationsDep
from services.users.errors import (
    AlreadyVerified,
    EmailAlreadyUsed,
    LinkNotWanted,
    PageUnknown,
    TooManyMails,
    UserNotFound,
    WeakPassword,
)
from services.users.repository import UserRepository
from services.users.schemas import ForgottenPassword, LinkToken, NewPassword
from services.users.settings import Settings
from shared.contracts.account_errors import AccountSuspended, InvalidLink, TooManyLogins
from shared.contracts.internal_api import ADDRESSES_PATH, LINKS_PATH, LinkRequest, MailAddress
from shared.db.dependency import DatabaseDep
from shared.http.identity import CallerDep, GatewayOnly, OptionalCallerDep, WorkerOnly
from shared.http.openapi import described

JSON = "application/json"

router = APIRouter(tags=["accounts"])
worker_router = APIRouter(tags=["accounts"], dependencies=[WorkerOnly])


@router.post(
    "/v1/email-verifications",
    status_code=HTTPStatus.NO_CONTENT,
    **described("verify_email", "Verify an address", InvalidLink, AccountSuspended, EmailAlreadyUsed),
)
async def verify_email(body: LinkToken, caller: OptionalCallerDep, verifications: VerificationsDep) -> None:
    """Verify an address with the token of a link. The first verification ends all other sessions of the account."""
    await verifications.verify(body.token, caller)


@router.post(
    "/v1/email-verifications/resend",
    status_code=HTTPStatus.ACCEPTED,
    response_class=Response,
    **described("resend_verification", "Send the verification mail again", UserNotFound, AlreadyVerified, TooManyMails),
)
async def resend_verification(caller: CallerDep, verifications: VerificationsDep) -> Response:
    """Send the link again: to the new address, if one is to be confirmed."""
    await verifications.resend(caller)
    return Response(status_code=202)


@router.post(
    "/v1/password-resets",
    status_code=HTTPStatus.ACCEPTED,
    response_class=Response,
    dependencies=[GatewayOnly],
    **described("request_password_reset", "Request a link for a new password"),
)
async def request_password_reset(body: ForgottenPassword, resets: ResetsDep) -> Response:
    """Mail a link for a new password, if the address has an account. The response does not say whether it has."""
    await resets.request(body.email)
    return Response(status_code=202)


@router.post(
    "/v1/password-resets/confirm",
    status_code=HTTPStatus.NO_CONTENT,
    dependencies=[GatewayOnly],
    **described("reset_password", "Set a new password", InvalidLink, AccountSuspended, WeakPassword, TooManyLogins),
)
async def reset_password(body: NewPassword, resets: ResetsDep) -> None:
    """Set a new password with the token of a link. All sessions of the account end."""
    await resets.confirm(body.token, body.password)


@worker_router.post(
    LINKS_PATH,
    **described("create_link", "Create a link", LinkNotWanted, AccountSuspended, PageUnknown),
)
async def create_link(body: LinkRequest, request: Request, db: DatabaseDep) -> Response:
    """Create the link of a mail that is about to be sent."""
    settings: Settings = request.app.state.settings
    page = _page_of(settings)
    async with db.begin() as session:
        user = await UserRepository(session).get(body.user_id, lock=True)
        if user is None:
            raise LinkNotWanted
        link = await links.create(session, user, body.purpose, body.email, page)
    return _json(link)


@worker_router.get(f"{ADDRESSES_PATH}/{{user_id}}", **described("read_address", "Read an address", UserNotFound))
async def read_address(user_id: UUID, db: DatabaseDep) -> Response:
    """Return the address of an account, and whether it is verified."""
    async with db.begin() as session:
        user = await UserRepository(session).get(user_id)
    if user is None:
        raise UserNotFound
    return _json(MailAddress(user.email, user.email_verified))


def _page_of(settings: Settings) -> str:
    """Return the address of the web page. Raises `PageUnknown`."""
    if settings.page is None:
        raise PageUnknown
    return settings.page


def _json(content: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(content), media_type=JSON, headers={"Cache-Control": "no-store"})
