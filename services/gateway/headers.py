"""Which headers go through the gateway, and in which direction."""

from collections.abc import Iterable

from shared.contracts.panels import DEADLINE_HEADER
from shared.errors import InvalidInput
from shared.identity import IDENTITY_HEADERS, SESSION_ID_HEADER, USER_ID_HEADER, USER_ROLE_HEADER, Caller
from shared.web import REQUEST_ID_HEADER

RawHeaders = Iterable[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110, section 7.6.1; with those that `Connection` names."""

_GATEWAYS_OWN = frozenset(
    name.lower().encode()
    for name in (
        *IDENTITY_HEADERS,
        "Authorization",
        "Cookie",
        DEADLINE_HEADER,
        REQUEST_ID_HEADER,
        "traceparent",
        "tracestate",
    )
)
"""Said to services by the gateway alone, or by clients to the gateway alone."""

_ABOUT_THIS_HOP = frozenset({b"host", b"expect", b"forwarded", b"via", b"x-real-ip"})
_SET_BY_THE_SERVER = frozenset({b"date", b"server", b"traceresponse", REQUEST_ID_HEADER.lower().encode()})


def request_headers(client: RawHeaders, caller: Caller | None, peer: str | None) -> list[tuple[str, str]]:
    """What a service is told: the client's headers without those that only the gateway may set, and who is calling.

    Raises `InvalidInput` for a value beyond ASCII, which cannot be sent on.
    """
    kept = [_passed_on(name, value) for name, value in _end_to_end(client) if _may_pass(name)]
    if peer:
        kept.append(("X-Forwarded-For", peer))
    return kept + identity_headers(caller)


def _passed_on(name: bytes, value: bytes) -> tuple[str, str]:
    if not value.isascii():
        raise InvalidInput.of(name.decode().title(), "must be ASCII")
    return name.decode(), value.decode()


def _may_pass(name: bytes) -> bool:
    return name not in _GATEWAYS_OWN and name not in _ABOUT_THIS_HOP and not name.startswith(b"x-forwarded-")


def identity_headers(caller: Caller | None) -> list[tuple[str, str]]:
    if caller is None:
        return []
    named = [(USER_ID_HEADER, str(caller.user_id)), (USER_ROLE_HEADER, caller.role)]
    return [*named, (SESSION_ID_HEADER, str(caller.session_id))] if caller.session_id else named


def response_headers(service: RawHeaders) -> list[tuple[bytes, bytes]]:
    """What the client is told of a service's response headers."""
    return [(name, value) for name, value in _end_to_end(service) if name not in _SET_BY_THE_SERVER]


def has_body(client: RawHeaders) -> bool:
    """Whether a request announces a body (RFC 9112, section 6.3)."""
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in client)


def _end_to_end(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    lowered = [(name.lower(), value) for name, value in headers]
    named = {option.strip().lower() for name, value in lowered if name == b"connection" for option in value.split(b",")}
    return [(name, value) for name, value in lowered if name not in _HOP_BY_HOP and name not in named]
