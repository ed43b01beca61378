"""Sign-in of the gateway's own page: its refresh token is a cookie that scripts cannot read (decision 0020).

Other clients use `/v1/tokens`. The cookie is sent only to these two paths, and only from the gateway's own pages.
"""

from typing import Annotated
from uuid import UUID

import httpx
import msgspec
from fastapi import APIRouter, Depends, Request, Response

from services.gateway.catalog.catalog import ACCOUNTS
from services.gateway.container import Gateway
from services.gateway.errors import ForeignPage, OutcomeUnknown, ServiceUnavailable
from services.gateway.proxy.headers import request_headers, response_headers
from services.gateway.upstream.errors import NotTrusted, Unreachable, UpstreamFailed
from services.gateway.upstream.responses import ServiceResponse, read_limited
from shared.contracts.internal_api import SIGN_OUT
from shared.errors import InvalidInput, NotFound
from shared.http.identity import Caller, identity_headers

PATH = "/web/session"
COOKIE = "dashboard_session"
MAX_ANSWER_BYTES = 64 * 1024
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class Ended(msgspec.Struct):
    session_id: UUID | None = None


class TokenPair(msgspec.Struct):
    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str


class SignedIn(msgspec.Struct):
    """What a page gets of a `TokenPair`: the refresh token is in the cookie."""

    access_token: Annotated[str, msgspec.Meta(examples=["eyJhbGciOiJFZERTQSJ9…"])]
    token_type: Annotated[str, msgspec.Meta(examples=["bearer"])]
    expires_in: Annotated[int, msgspec.Meta(description="in seconds", examples=[900])]


async def has_accounts(request: Request) -> None:
    """Without accounts in the panels file, these routes do not exist."""
    if not _gateway(request).catalog.has_accounts:
        raise NotFound


async def own_page(request: Request) -> None:
    """Refuses cross-site requests. Browsers name the site themselves; without CORS, no other site can send a JSON
    body or a method other than POST."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise ForeignPage
    if request.method == "POST" and request.headers.get("Content-Type", "").partition(";")[0] != JSON:
        raise InvalidInput.of("Content-Type", "must be application/json")


router = APIRouter(prefix=PATH, include_in_schema=False, dependencies=[Depends(has_accounts), Depends(own_page)])


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayDep = Annotated[Gateway, Depends(_gateway)]


class Credentials(msgspec.Struct, forbid_unknown_fields=True):
    email: str
    password: str


@router.post("")
async def sign_in(request: Request, gateway: GatewayDep) -> Response:
    """Sign in with `{email, password}`; returns an access token and sets the cookie."""
    try:
        credentials = msgspec.json.decode(await request.body(), type=Credentials)
    except msgspec.DecodeError as broken:
        raise InvalidInput.of("body", str(broken)) from broken
    form = {"grant_type": "password", "username": credentials.email, "password": credentials.password}
    return await _exchange(request, gateway, "/v1/tokens", form)


@router.post("/refresh")
async def refresh(request: Request, gateway: GatewayDep) -> Response:
    """Return a new access token for the cookie, which is replaced. 204 without a cookie; 401 if it is no longer
    valid."""
    if not (token := request.cookies.get(COOKIE)):
        return Response(status_code=204)
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await _exchange(request, gateway, "/v1/tokens/refresh", form)


@router.delete("")
async def sign_out(request: Request, gateway: GatewayDep) -> Response:
    """End the session of the cookie, and remove the cookie. No access token is needed, because it may have expired.

    503 if the session cannot be ended now; the cookie stays, so that the page can try again.
    """
    if token := request.cookies.get(COOKIE):
        answer, content = await ask(request, gateway, SIGN_OUT, JSON, msgspec.json.encode({"refresh_token": token}))
        if answer.is_server_error or answer.status_code == httpx.codes.UNAUTHORIZED:
            raise ServiceUnavailable
        if answer.is_success and (ended := msgspec.json.decode(content, type=Ended).session_id):
            await gateway.revocations.end_session(ended)
    response = Response(status_code=204)
    _set_cookie(response, "", 0, secure=gateway.settings.secure_cookies)
    return response


async def _exchange(request: Request, gateway: Gateway, target: str, form: dict[str, str]) -> Response:
    answer, content = await ask(request, gateway, target, FORM, str(httpx.QueryParams(form)).encode())
    if answer.status_code != httpx.codes.OK:
        return passed_on(answer, content)
    return signed_in(msgspec.json.decode(content, type=TokenPair), gateway)


def passed_on(answer: ServiceResponse, content: bytes) -> Response:
    """Return the same response for the client."""
    kept = dict(response_headers(answer.headers))
    kept.pop(b"content-length", None)
    return Response(content, answer.status_code, {k.decode(): v.decode("latin-1") for k, v in kept.items()})


async def ask(
    request: Request, gateway: Gateway, target: str, media_type: str, body: bytes, caller: Caller | None = None
) -> tuple[ServiceResponse, bytes]:
    """Return the response of the users service, closed, and its body. Raises `ServiceUnavailable`, `OutcomeUnknown`."""
    sent = [(b"content-type", media_type.encode())]
    sent += [each for each in request.headers.raw if each[0] == b"user-agent"]  # for the list of sessions
    headers = request_headers(sent, identity_headers(caller), gateway.addresses.client(request.scope))
    timeout_s = gateway.settings.pass_through_timeout_s
    try:
        answer = await gateway.upstreams[ACCOUNTS].send("POST", target, headers, body, timeout_s)
        try:
            return answer, await read_limited(answer, MAX_ANSWER_BYTES)
        finally:
            await answer.aclose()
    except (Unreachable, NotTrusted) as away:
        raise ServiceUnavailable from away
    except UpstreamFailed as unknown:
        raise OutcomeUnknown from unknown


def signed_in(pair: TokenPair, gateway: Gateway) -> Response:
    """Return the access token, and set the cookie with the refresh token."""
    shown = SignedIn(pair.access_token, pair.token_type, pair.expires_in)
    response = Response(msgspec.json.encode(shown), 200, {"Cache-Control": "no-store"}, "application/json")
    keep(response, pair.refresh_token, gateway)
    return response


def keep(response: Response, refresh_token: str, gateway: Gateway) -> None:
    """Set the cookie of a session that has begun."""
    settings = gateway.settings
    _set_cookie(response, refresh_token, settings.session_cookie_ttl_s, secure=settings.secure_cookies)


def _set_cookie(response: Response, value: str, ttl_s: int, *, secure: bool) -> None:
    response.set_cookie(COOKIE, value, max_age=ttl_s, path=PATH, httponly=True, samesite="strict", secure=secure)
