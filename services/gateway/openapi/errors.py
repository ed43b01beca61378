"""What the gateway itself answers, besides the services: the errors of each operation by its access rules."""

from collections.abc import Iterator

from services.gateway.auth.authenticator import OPERATORS, Access
from services.gateway.errors import (
    AccountRequired,
    AuditUnavailable,
    BodyTooSlow,
    GatewayBusy,
    InsufficientScope,
    InvalidAccessToken,
    KeysUnavailable,
    OutcomeUnknown,
    RateLimited,
    ServiceUnavailable,
    SessionRequired,
)
from services.gateway.proxy.forward import SAFE_METHODS
from services.gateway.proxy.operations import Operation
from shared.errors import BadRequest, BodyTooLarge, DashboardError, Forbidden, InvalidInput, NotFound, Unauthenticated

OF_ALL = (BadRequest, InvalidInput, RateLimited, DashboardError, GatewayBusy)
OF_SERVICES = (Unauthenticated, Forbidden)
"""What a service answers about the gateway's own credentials, and about roles that the gateway has checked before."""
Error = type[DashboardError]


def of_route(
    method: str, path: str, access: Access, *, session_only: bool = False, needs_account: bool = True
) -> Iterator[Error]:
    """Return what any route with this access may answer. `needs_account`: it is not for users of other issuers."""
    yield from OF_ALL
    if "{" in path:
        yield NotFound  # the parameter is not of its type, so that there is no such path
    if method not in SAFE_METHODS:
        yield from (BodyTooLarge, BodyTooSlow)
    if access != "anonymous":
        yield from (Unauthenticated, InvalidAccessToken, KeysUnavailable)
        yield SessionRequired if session_only else InsufficientScope
        if access in OPERATORS:
            yield Forbidden
        elif needs_account:
            yield AccountRequired


def of_operation(operation: Operation) -> Iterator[Error]:
    """Return what the gateway answers to a passed-through operation, besides the service."""
    yield from of_route(
        operation.method,
        operation.path,
        operation.access,
        session_only=not operation.allows_api_keys,
        needs_account=bool(operation.issuers),
    )
    yield ServiceUnavailable
    if operation.method not in SAFE_METHODS:
        yield OutcomeUnknown
        if operation.audited:
            yield AuditUnavailable
    if operation.names_caller:
        yield KeysUnavailable
