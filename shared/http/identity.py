"""The caller of a service. Only the gateway may act for a user: it sends its service token and the user's identity."""

from contextvars import ContextVar
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import Depends
from starlette.requests import Request

from shared.errors import Forbidden, Unauthenticated
from shared.http.openapi import raises
from shared.http.tokens import InvalidToken, Role, ServiceTokens

USER_ID_HEADER = "X-User-Id"
USER_ROLE_HEADER = "X-User-Role"
SESSION_ID_HEADER = "X-Session-Id"
USER_ISSUER_HEADER = "X-User-Issuer"
"""Sent to services that are not part of this system: whose user the id identifies."""
IDENTITY_HEADERS = (USER_ID_HEADER, USER_ROLE_HEADER, SESSION_ID_HEADER, USER_ISSUER_HEADER)
"""Set only by the gateway, which drops these headers from clients."""

CLIENT_ADDRESS_HEADER = "X-Forwarded-For"
"""Likewise: the client's address."""
client_address: ContextVar[str | None] = ContextVar("client_address", default=None)
"""Return the client address of the current request, as the gateway reports it."""

GATEWAY = "gateway"
WORKER = "worker"
MAX_ADDRESS = 100


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The user on whose behalf the gateway calls. `session_id` is their session, or the id of their API key."""

    user_id: UUID
    role: Role
    session_id: UUID | None = None

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"

    @property
    def is_operator(self) -> bool:
        """Return whether the caller may read other users' data: administrators and support."""
        return self.role in ("admin", "support")


def identity_headers(caller: Caller | None) -> list[tuple[str, str]]:
    if caller is None:
        return []
    named = [(USER_ID_HEADER, str(caller.user_id)), (USER_ROLE_HEADER, caller.role)]
    return [*named, (SESSION_ID_HEADER, str(caller.session_id))] if caller.session_id else named


def require_service(request: Request) -> str:
    """Return the calling service, from its token. Raises `Unauthenticated`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    tokens: ServiceTokens = request.app.state.service_tokens
    try:
        if scheme.lower() != "bearer":
            raise InvalidToken("no bearer token")
        return tokens.verify(token)
    except InvalidToken as refused:
        raise Unauthenticated("a service token is required") from refused


def require_gateway(request: Request) -> None:
    """Raises `Unauthenticated` unless the gateway is calling."""
    if require_service(request) != GATEWAY:
        raise Unauthenticated("only the gateway may call this")


@raises(Unauthenticated)
async def _gateway(request: Request) -> None:
    require_gateway(request)
    client_address.set(request.headers.get(CLIENT_ADDRESS_HEADER, "")[:MAX_ADDRESS] or None)


@raises(Unauthenticated)
async def _caller(request: Request) -> Caller:
    await _gateway(request)
    headers = request.headers
    try:
        told = {"user_id": headers[USER_ID_HEADER], "role": headers[USER_ROLE_HEADER]}
        return msgspec.convert(told | {"session_id": headers.get(SESSION_ID_HEADER)}, Caller)
    except (KeyError, msgspec.ValidationError) as missing:
        raise Unauthenticated("the gateway must name the user for whom it calls") from missing


@raises(Unauthenticated)
async def _optional_caller(request: Request) -> Caller | None:
    if USER_ID_HEADER in request.headers:
        return await _caller(request)
    await _gateway(request)
    return None


@raises(Unauthenticated)
async def _worker(request: Request) -> None:
    if require_service(request) != WORKER:
        raise Unauthenticated("only the worker may call this")


@raises(Forbidden)
async def _admin(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
    if not caller.is_admin:
        raise Forbidden("administrators only")
    return caller


@raises(Forbidden)
async def _operator(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
    if not caller.is_operator:
        raise Forbidden("operators only")
    return caller


GatewayOnly = Depends(_gateway)
"""For routes without a user: registration, sign-in."""
WorkerOnly = Depends(_worker)
OptionalCallerDep = Annotated[Caller | None, Depends(_optional_caller)]
"""For routes that anyone may call: the user, if the request has a valid token."""
CallerDep = Annotated[Caller, Depends(_caller)]
AdminDep = Annotated[Caller, Depends(_admin)]
OperatorDep = Annotated[Caller, Depends(_operator)]
