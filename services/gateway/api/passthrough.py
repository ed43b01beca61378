"""The passed-through routes: one for each path, so that a wrong method is answered with all allowed ones."""

import re
import string
from collections.abc import Iterable
from itertools import groupby
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from services.gateway.auth.authenticator import Verified
from services.gateway.container import Gateway, client_of, gateway_of
from services.gateway.panels import ServiceSpec
from services.gateway.proxy.audit_log import entry_of
from services.gateway.proxy.forward import (
    SAFE_METHODS,
    UPLOAD_TIMEOUT_S,
    ClientBody,
    Effect,
    ForwardTimeouts,
    Outgoing,
    forward,
)
from services.gateway.proxy.headers import has_body, has_small_body, request_headers
from services.gateway.proxy.operations import Operation
from shared.errors import Forbidden, InvalidInput, Unauthenticated
from shared.http.application import AsgiRoute
from shared.http.identity import (
    USER_ID_HEADER,
    USER_ISSUER_HEADER,
    USER_ROLE_HEADER,
    Caller,
    identity_headers,
)
from shared.http.tokens import USER_ISSUER

OF_USERS = ("/v1/users/{id", "/v1/admin/users/{id")
"""The paths whose `id` is that of a user."""
_QUERY = re.compile(rb"[!-~]{1,8192}")


class PassThrough:
    """Answers one path in plain ASGI, through the service that the catalog names."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations = {operation.method: operation for operation in operations}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = gateway_of(scope)
        # HEAD is handled as a GET of which the server sends only the head.
        operation = self._operations["GET" if scope["method"] == "HEAD" else scope["method"]]
        upstream = (gateway.uploads if operation.upload else gateway.upstreams)[operation.service]
        verified = await _admit(gateway, operation, scope)
        caller = verified.caller if verified else None
        await _write_down(gateway, operation, scope, caller)
        if operation.takes_password and caller is not None:
            receive = await gateway.passwords.count(scope, receive, caller)
        settings, tuning = gateway.settings, gateway.tuning
        idle_s = tuning.upload_idle_s if operation.upload else None
        head_s = UPLOAD_TIMEOUT_S if operation.upload else settings.pass_through_timeout_s
        request = _outgoing(operation, scope, receive, verified, idle_s, upstream.spec)
        effect = _effect(gateway, operation, scope, caller)
        await forward(upstream, request, send, ForwardTimeouts(head_s, tuning.client_stall_s), effect)


def routes(operations: Iterable[Operation]) -> list[AsgiRoute]:
    """Return the routes of every path of these operations."""
    by_path = groupby(sorted(operations, key=lambda o: o.path), key=lambda o: o.path)
    return [_route(path, list(several)) for path, several in by_path]


def _route(path: str, operations: list[Operation]) -> AsgiRoute:
    return AsgiRoute(path, PassThrough(operations), methods=[operation.method for operation in operations])


async def _admit(gateway: Gateway, operation: Operation, scope: Scope) -> Verified | None:
    if operation.access == "anonymous":
        return await _caller_if_known(gateway, scope) if operation.names_caller else None
    return await gateway.authenticator.admit(
        scope,
        operation.access,
        session_only=not operation.allows_api_keys,
        issuers=operation.issuers,
        for_others=operation.others != "nobody",
    )


async def _caller_if_known(gateway: Gateway, scope: Scope) -> Verified | None:
    """Return the caller if the request has a valid token of an account. Raises `KeysUnavailable` if that cannot be
    determined."""
    try:
        return await gateway.authenticator.admit(scope, session_only=True, issuers=(USER_ISSUER,))
    except (Unauthenticated, Forbidden):
        return None


async def _write_down(gateway: Gateway, operation: Operation, scope: Scope, caller: Caller | None) -> None:
    """Record an operator's action that does not concern themselves. Raises `AuditUnavailable`."""
    if caller is None or not caller.is_operator or not operation.audited:
        return
    parameters = scope["path_params"]
    subject = parameters["id"] if operation.path.startswith(OF_USERS) else None
    if subject == caller.user_id:
        return
    write = gateway.audit_log.note if operation.method in SAFE_METHODS else gateway.audit_log.must_note
    await write(caller, client_of(scope), entry_of(operation.method, operation.template, parameters, subject=subject))


def _outgoing(
    operation: Operation,
    scope: Scope,
    receive: Receive,
    verified: Verified | None,
    idle_s: float | None,
    spec: ServiceSpec,
) -> Outgoing:
    headers = scope["headers"]
    small = not operation.upload and has_small_body(headers)
    return Outgoing(
        operation.method,
        _target(operation, scope),
        request_headers(headers, _identity(verified, spec), client_of(scope), _forwarded(verified, spec)),
        ClientBody(receive, expected=has_body(headers), small=small, idle_s=idle_s),
    )


def _forwarded(verified: Verified | None, spec: ServiceSpec) -> list[str]:
    """Return the caller's headers that the service gets. An API key is for this gateway alone."""
    is_key = verified is not None and verified.scopes is not None
    return [name for name in spec.forward if name != "authorization" or not is_key]


def _identity(verified: Verified | None, spec: ServiceSpec) -> list[tuple[str, str]]:
    """Return the caller as the service knows them: services of other systems know the ids of the issuer."""
    if verified is None:
        return []
    if spec.internal:
        return identity_headers(verified.caller)
    subject = quote(verified.subject, safe=string.printable)
    role = (USER_ROLE_HEADER, verified.caller.role)
    return [(USER_ID_HEADER, subject), role, (USER_ISSUER_HEADER, quote(verified.issued_by, safe=string.printable))]


def _target(operation: Operation, scope: Scope) -> str:
    """Return path and query for the service: the path is built from the declared one, so that no client can inject
    one."""
    path = operation.target_of(scope["path_params"])
    query: bytes = scope["query_string"]
    if not query:
        return path
    if not _QUERY.fullmatch(query):
        raise InvalidInput.of("query", "must be at most 8 KiB of printable ASCII, with everything else percent-encoded")
    return f"{path}?{query.decode()}"


def _effect(gateway: Gateway, operation: Operation, scope: Scope, caller: Caller | None) -> Effect | None:
    if not operation.ends and (caller is None or not operation.touches):
        return None

    async def run() -> None:
        if operation.ends == "others":
            await gateway.ended.read()
        if caller is None:
            return
        gateway.invalidation.drop(caller.user_id, operation.touches)
        gateway.hub.touched(caller.user_id, operation.touches)
        if operation.ends == "session" and caller.session_id:
            await gateway.revocations.end_session(caller.session_id)
        elif operation.ends == "named":
            await gateway.revocations.end_session(scope["path_params"]["id"])
        elif operation.ends == "user":
            await gateway.revocations.end_user(caller.user_id)
            await gateway.stale_store.forget(caller.user_id)

    return Effect(run, carried_through=operation.ends is not None)
