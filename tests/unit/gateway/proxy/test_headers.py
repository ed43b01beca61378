"""Which headers go through."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.proxy.headers import SMALL_BODY_BYTES, has_body, has_small_body, request_headers, response_headers
from shared.errors import InvalidInput
from shared.http.identity import Caller, identity_headers

CALLER = Caller(UUID(int=1), "user", UUID(int=2))
FORBIDDEN = [
    b"X-User-Id",
    b"X-User-Role",
    b"X-Session-Id",
    b"Authorization",
    b"Forwarded",
    b"X-Forwarded-For",
    b"X-Forwarded-Host",
    b"Request-Deadline-Ms",
    b"Transfer-Encoding",
    b"Connection",
    b"Keep-Alive",
    b"TE",
    b"Upgrade",
    b"Host",
]
OWN = {"X-User-Id": [str(UUID(int=1))], "X-User-Role": ["user"], "X-Session-Id": [str(UUID(int=2))]}


def any_case(name: bytes) -> st.SearchStrategy[bytes]:
    flips = st.lists(st.booleans(), min_size=len(name), max_size=len(name))
    return flips.map(
        lambda ups: bytes(ord(chr(c).upper()) if up else c for c, up in zip(name.lower(), ups, strict=True))
    )


forbidden = st.sampled_from(FORBIDDEN).flatmap(any_case)


@given(st.lists(st.tuples(forbidden, st.binary(max_size=20)), max_size=20))
def test_nothing_that_is_the_gateways_comes_from_a_client(headers: list[tuple[bytes, bytes]]) -> None:
    """However written and however often, only the gateway's own identity headers are left."""
    sent = request_headers(headers, identity_headers(CALLER), None)
    found = {name: [value for n, value in sent if n == name] for name, _ in sent}
    assert found == OWN


@given(forbidden.filter(lambda name: name.lower() != b"connection"))
def test_without_a_caller_there_is_no_identity(name: bytes) -> None:
    """On anonymous routes nobody is named."""
    assert request_headers([(name, b"x")], (), None) == []


@given(st.sampled_from([b"Idempotency-Key", b"x-any", b"User-Agent"]), st.binary(min_size=1, max_size=20))
def test_a_value_goes_through_or_is_refused(name: bytes, value: bytes) -> None:
    """It is never dropped: what cannot be sent on is 422 and names the header."""
    if value.isascii():
        assert request_headers([(name, value)], (), None) == [(name.decode().lower(), value.decode())]
        return
    with pytest.raises(InvalidInput) as refused:
        request_headers([(name, value)], (), None)
    assert [each["field"].lower() for each in refused.value.errors or ()] == [name.decode().lower()]


def test_cookies_are_the_gateways() -> None:
    """Other sites of the same host may set any bytes; no service reads them."""
    assert request_headers([(b"cookie", "a=ü".encode())], (), None) == []


def test_headers_named_by_connection_stay_here() -> None:
    """RFC 9110, section 7.6.1, in both directions."""
    headers = [(b"Connection", b"close, X-One ,x-two"), (b"x-one", b"1"), (b"X-Two", b"2"), (b"X-Three", b"3")]
    assert request_headers(headers, (), "10.0.0.9") == [("x-three", "3"), ("X-Forwarded-For", "10.0.0.9")]
    assert response_headers(headers) == [(b"x-three", b"3")]


@given(st.lists(st.tuples(st.sampled_from([b"x-a", b"accept", b"set-cookie"]), st.binary(max_size=9)), max_size=9))
def test_other_response_headers_pass_as_they_are(headers: list[tuple[bytes, bytes]]) -> None:
    """Also those that come several times, in their order."""
    assert response_headers(headers) == headers


def test_a_body_is_announced_by_length_or_by_encoding() -> None:
    """No announcement, or one of nothing, is no body."""
    assert not has_body([(b"content-length", b"0")])
    assert has_body([(b"content-length", b"1")])
    assert has_body([(b"transfer-encoding", b"chunked")])


@pytest.mark.parametrize(
    ("headers", "small"),
    [
        ({b"content-length": b"%d" % SMALL_BODY_BYTES}, True),
        ({b"content-length": b"%d" % (SMALL_BODY_BYTES + 1)}, False),
        ({b"content-length": b"1", b"expect": b"100-continue"}, False),
        ({b"transfer-encoding": b"chunked"}, False),
        ({}, False),
    ],
)
def test_a_small_body_says_its_length(headers: dict[bytes, bytes], small: bool) -> None:
    """One that the client sends only when it is asked to is not waited for."""
    assert has_small_body(list(headers.items())) == small
