"""Signing in with an identity provider: the steps of a browser, with their cookies (decision 0043).

The users service speaks with the provider. A cookie holds the secret of a sign-in that is under way. The refresh token
of a finished one goes into the cookie of `/web/session`, so no address and no script ever has a token.
"""

from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

import httpx
import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from msgspec import UNSET, UnsetType

from services.gateway.api import session
from services.gateway.api.session import JSON, GatewayDep, SignedIn, TokenPair, ask, own_page, passed_on, signed_in
from services.gateway.container import Gateway
from services.gateway.errors import ForeignPage, OutcomeUnknown, ServiceUnavailable
from services.gateway.limits.load_shedding import IDENTITY_LINKS, IDENTITY_PROVIDERS
from services.gateway.openapi.merge import FOR_SESSIONS
from services.gateway.upstream.responses import ServiceResponse
from shared.contracts import internal_api
from shared.contracts.account_errors import (
    AccountSuspended,
    AlreadyLinked,
    IdentityProviderNotFound,
    IdentityProviderUnavailable,
    InvalidLink,
    RecentSignInRequired,
    TooManyIdentities,
    TooManyLogins,
    WrongPassword,
)
from shared.contracts.internal_api import FLOW_VALID_S, FlowFinished, FlowStarted
from shared.errors import InvalidInput, NotFound
from shared.http.identity import Caller
from shared.http.negotiation import prefers_html
from shared.http.openapi import described
from shared.http.strict_parameters import IGNORES_UNKNOWN
from shared.observability.logs import get_logger

log = get_logger(__name__)

COOKIE = "dashboard_sign_in"
MAX_COOKIE = 200
FEATURE = "/v1/identity-providers"
DOOR = "/#/sign-in"
MAX_PARAMETER = 4096
T = TypeVar("T")
REDIRECT: dict[int, dict[str, Any]] = {
    303: {
        "description": "to the provider, or back to the page",
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
}


async def _has_providers(gateway: GatewayDep) -> None:
    """Without its routes in the panels file, this feature does not exist."""
    if not any(operation.template == FEATURE for operation in gateway.catalog.operations):
        raise NotFound


router = APIRouter(tags=["tokens"], dependencies=[Depends(_has_providers)])

Name = Annotated[
    str,
    Path(pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="from `GET /v1/identity-providers`", examples=["company"]),
]
State = Annotated[str | None, Query(description="as the provider was given it", examples=["kb3f1c2d4e5"])]
Code = Annotated[str | None, Query(description="from the provider, used once", examples=["SplxlOBeZQQYbYS6WxSbIA"])]
Error = Annotated[str | None, Query(description="why the provider refuses", examples=["access_denied"])]
Issuer = Annotated[str | None, Query(description="who answers (RFC 9207)", examples=["https://login.example.com"])]


Ticket = Annotated[str, msgspec.Meta(min_length=1, max_length=255, examples=["kb3f1c2d4e5f60718293a4b5c6d7e8f9"])]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=512, examples=["correct horse battery"])]


class Begun(msgspec.Struct):
    url: Annotated[str, msgspec.Meta(examples=["https://login.example.com/authorize?state=kb3f1c2d4e5"])]


class StartBody(msgspec.Struct, forbid_unknown_fields=True):
    purpose: Literal["link", "confirm"]
    current_password: Password | UnsetType = UNSET


class LinkBody(msgspec.Struct, forbid_unknown_fields=True):
    ticket: Ticket
    password: Password


def _content(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Describe a JSON object of this type. In place: generators name it after its operation."""
    return {"content": {JSON: {"schema": msgspec.json.schema(kind)["$defs"][kind.__name__]}}}


def _body(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"required": True, **_content(kind)}


def _answer(description: str, kind: type[msgspec.Struct]) -> dict[int, dict[str, Any]]:
    return {200: {"description": description, **_content(kind)}}


class _Account(msgspec.Struct):
    email: str


@router.get(
    IDENTITY_PROVIDERS + "{name}/sign-in",
    status_code=HTTPStatus.SEE_OTHER,
    response_class=Response,
    **described(
        "sign_in_with_provider",
        "Sign in with an identity provider",
        *(IdentityProviderNotFound, IdentityProviderUnavailable, ServiceUnavailable, OutcomeUnknown),
        responses=REDIRECT,
    ),
    openapi_extra={"security": []},
)
async def sign_in(name: Name, request: Request, gateway: GatewayDep) -> Response:
    """Send a browser to an identity provider, to sign in. It returns to the callback."""
    try:
        answer, content = await _begin(request, gateway, {"provider": name})
    except (ServiceUnavailable, OutcomeUnknown):
        if prefers_html(request.scope["headers"]):
            return _redirect(f"{DOOR}?error=unavailable")
        raise
    if answer.status_code != httpx.codes.OK:
        is_read = prefers_html(request.scope["headers"])
        return _redirect(f"{DOOR}?error=unavailable") if is_read else passed_on(answer, content)
    started = msgspec.json.decode(content, type=FlowStarted)
    return _with_flow(_redirect(started.url), started, gateway)


@router.post(
    IDENTITY_PROVIDERS + "{name}/sign-in",
    response_class=Response,
    **described(
        "begin_provider_sign_in",
        "Link an identity, or confirm who you are",
        *(IdentityProviderNotFound, WrongPassword, RecentSignInRequired, IdentityProviderUnavailable, TooManyLogins),
        *(ServiceUnavailable, OutcomeUnknown),
        responses=_answer("where the browser must go", Begun),
    ),
    openapi_extra={
        "security": FOR_SESSIONS,
        "requestBody": _body(StartBody),
    },
)
async def sign_in_again(name: Name, request: Request, gateway: GatewayDep) -> Response:
    """Begin a sign-in of a signed-in user: to `link` an identity, or to `confirm` who they are. Returns the `url` to
    which the browser must go."""
    caller = await gateway.authenticator.caller(request.scope, session_only=True)
    receive = await gateway.passwords.count(request.scope, request.receive, caller)
    body = _decoded(await Request(request.scope, receive).body(), StartBody)
    told = {"provider": name, "purpose": body.purpose}
    if body.current_password is not UNSET:
        told["current_password"] = body.current_password
    answer, content = await _begin(request, gateway, told, caller)
    if answer.status_code != httpx.codes.OK:
        return passed_on(answer, content)
    started = msgspec.json.decode(content, type=FlowStarted)
    shown = Response(msgspec.json.encode(Begun(started.url)), media_type=JSON, headers={"Cache-Control": "no-store"})
    return _with_flow(shown, started, gateway)


@router.get(
    IDENTITY_PROVIDERS + "{name}/callback",
    status_code=HTTPStatus.SEE_OTHER,
    response_class=Response,
    **described(
        "return_from_provider", "Return from an identity provider", IdentityProviderNotFound, responses=REDIRECT
    ),
    openapi_extra={"security": [], IGNORES_UNKNOWN: True},
)
async def callback(
    name: Name,
    request: Request,
    gateway: GatewayDep,
    state: State = None,
    code: Code = None,
    error: Error = None,
    iss: Issuer = None,
) -> Response:
    """Receive a browser from an identity provider, and send it to the page: signed in, or with the reason in the
    fragment."""
    given = {"state": state, "code": code, "error": error, "iss": iss}
    told = {"provider": name, "secret": _secret(request)}
    told |= {key: value for key, value in given.items() if value is not None}
    if not told["secret"] or (state is None and error is None):
        finished = FlowFinished(f"{DOOR}?error=expired")
    elif any(len(value) > MAX_PARAMETER for value in told.values()) or _is_repeated(request, *given):
        finished = FlowFinished(f"{DOOR}?error=invalid")
    else:
        finished = await _finish(request, gateway, told)
    response = _redirect(finished.page)
    _set_cookie(response, "", 0, IDENTITY_PROVIDERS, gateway)
    if finished.refresh_token:
        session.keep(response, finished.refresh_token, gateway)
    if finished.link_secret:
        _set_cookie(response, finished.link_secret, FLOW_VALID_S, IDENTITY_LINKS, gateway)
    return response


@router.post(
    IDENTITY_LINKS,
    dependencies=[Depends(own_page)],
    response_class=Response,
    **described(
        "link_identity_with_password",
        "Link an identity to your account and sign in",
        *(InvalidLink, WrongPassword, AccountSuspended, AlreadyLinked, TooManyIdentities, TooManyLogins),
        *(ForeignPage, ServiceUnavailable, OutcomeUnknown),
        responses=_answer("signed in", SignedIn),
    ),
    openapi_extra={
        "security": [],
        "requestBody": _body(LinkBody),
    },
)
async def link(request: Request, gateway: GatewayDep) -> Response:
    """Link an identity to the account that has its address, with the account's password, and sign in. The ticket only
    works in the browser that has returned from the provider. A wrong password leaves it valid."""
    body = _decoded(await request.body(), LinkBody)
    held = {"secret": _secret(request) or "-", "ticket": body.ticket}
    answer, content = await _ask(request, gateway, internal_api.IDENTITY_LINK_ACCOUNT, held)
    if answer.status_code != httpx.codes.OK:
        return passed_on(answer, content)
    await gateway.passwords.link(request.scope, msgspec.json.decode(content, type=_Account).email)
    answer, content = await _ask(request, gateway, internal_api.IDENTITY_LINKS, held | {"password": body.password})
    if answer.status_code != httpx.codes.OK:
        return passed_on(answer, content)
    response = signed_in(msgspec.json.decode(content, type=TokenPair), gateway)
    _set_cookie(response, "", 0, IDENTITY_LINKS, gateway)
    return response


async def _begin(
    request: Request, gateway: Gateway, told: dict[str, str], caller: Caller | None = None
) -> tuple[ServiceResponse, bytes]:
    return await _ask(request, gateway, internal_api.IDENTITY_FLOWS, told, caller)


async def _finish(request: Request, gateway: Gateway, told: dict[str, str]) -> FlowFinished:
    """Return where the browser goes. Nothing that fails here may leave a person in front of a JSON document."""
    try:
        answer, content = await _ask(request, gateway, internal_api.IDENTITY_CALLBACKS, told)
    except (ServiceUnavailable, OutcomeUnknown):
        return FlowFinished(f"{DOOR}?error=unavailable")
    if answer.is_success:
        return msgspec.json.decode(content, type=FlowFinished)
    log.warning("callback refused", status=answer.status_code)
    return FlowFinished(f"{DOOR}?error={'unavailable' if answer.is_server_error else 'invalid'}")


async def _ask(
    request: Request, gateway: Gateway, target: str, told: dict[str, str], caller: Caller | None = None
) -> tuple[ServiceResponse, bytes]:
    return await ask(request, gateway, target, JSON, msgspec.json.encode(told), caller)


def _is_repeated(request: Request, *names: str) -> bool:
    return any(len(request.query_params.getlist(name)) > 1 for name in names)


def _secret(request: Request) -> str:
    """Return the secret in the cookie; empty if there is none that could be one."""
    value = request.cookies.get(COOKIE, "")
    return value if len(value) <= MAX_COOKIE and value.isascii() and value.isprintable() else ""


def _decoded(body: bytes, kind: type[T]) -> T:
    """Raises `InvalidInput`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as broken:
        raise InvalidInput.of("body", str(broken)) from broken


def _redirect(url: str) -> Response:
    headers = {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(status_code=HTTPStatus.SEE_OTHER.value, headers=headers)


def _with_flow(response: Response, started: FlowStarted, gateway: Gateway) -> Response:
    _set_cookie(response, started.secret, FLOW_VALID_S, IDENTITY_PROVIDERS, gateway)
    return response


def _set_cookie(response: Response, value: str, ttl_s: int, path: str, gateway: Gateway) -> None:
    """Lax, because the provider sends the browser back from another site; where a password is entered, strict."""
    site: Literal["lax", "strict"] = "lax" if path == IDENTITY_PROVIDERS else "strict"
    secure = gateway.settings.secure_cookies
    response.set_cookie(COOKIE, value, max_age=ttl_s, path=path, httponly=True, samesite=site, secure=secure)
