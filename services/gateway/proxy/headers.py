"""Which headers pass through the gateway, in each direction."""

from collections.abc import Iterable

from shared.contracts.panels import DEADLINE_HEADER
from shared.errors import InvalidInput
from shared.http.application import REQUEST_ID_HEADER
from shared.http.identity import IDENTITY_HEADERS

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
"""RFC 9110, section 7.6.1; plus those that `Connection` names."""

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
"""Sent to services only by the gateway, or by clients only to the gateway."""

_ABOUT_THIS_HOP = frozenset({b"host", b"expect", b"forwarded", b"via", b"x-real-ip"})
_SET_BY_THE_SERVER = frozenset({b"date", b"server", b"traceresponse", REQUEST_ID_HEADER.lower().encode()})

_NOT_SENT_ON = _HOP_BY_HOP | _GATEWAYS_OWN | _ABOUT_THIS_HOP
_NOT_SENT_BACK = _HOP_BY_HOP | _SET_BY_THE_SERVER

SMALL_BODY_BYTES = 16 * 1024


def request_headers(
    client: RawHeaders, identity: Iterable[tuple[str, str]], peer: str | None, forwarded: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """Return the headers for a service: the client's without those that only the gateway may set, except the
    `forwarded` ones that its declaration names, and the caller's
    `identity`.

    Raises `InvalidInput` for a non-ASCII value, which cannot be forwarded.
    """
    kept = [
        _passed_on(name, value)
        for name, value in _without(client, _NOT_SENT_ON.difference(name.encode() for name in forwarded))
        if not name.startswith(b"x-forwarded-")
    ]
    if peer:
        kept.append(("X-Forwarded-For", peer))
    return [*kept, *identity]


def _passed_on(name: bytes, value: bytes) -> tuple[str, str]:
    if not value.isascii():
        raise InvalidInput.of(name.decode().title(), "must be ASCII")
    return name.decode(), value.decode()


def response_headers(service: RawHeaders) -> list[tuple[bytes, bytes]]:
    """Return the headers of a service's response for the client."""
    return _without(service, _NOT_SENT_BACK)


def has_body(client: RawHeaders) -> bool:
    """Return whether a request announces a body (RFC 9112, section 6.3)."""
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in client)


def has_small_body(client: RawHeaders) -> bool:
    """Return whether a request announces a body of at most `SMALL_BODY_BYTES`, without `Expect: 100-continue`."""
    values = {name: value for name, value in client if name in (b"content-length", b"expect")}
    length = values.get(b"content-length", b"")
    return length.isdigit() and int(length) <= SMALL_BODY_BYTES and b"expect" not in values


def _without(headers: RawHeaders, dropped: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the headers without these, and without those that `Connection` names; the names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    for name, value in lowered:
        if name == b"connection":
            dropped = dropped.union(option.strip().lower() for option in value.split(b","))
    return [each for each in lowered if each[0] not in dropped]
