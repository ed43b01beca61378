"""The account of a sign-in."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message

from services.gateway.errors import BodyTooSlow
from services.gateway.limits.password_attempts import (
    MAX_FIELDS,
    MAX_LOGIN_BYTES,
    ReadBody,
    account_in,
    digest,
    read_body,
)
from shared.errors import InvalidInput

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
MULTIPART = 'multipart/form-data; boundary="x"'
PART = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\nann@example.com\r\n--x--\r\n'


async def nothing_more() -> Message:
    return {"type": "http.disconnect"}


async def account(kind: str, body: bytes) -> str:
    messages: list[Message] = [
        {"type": "http.request", "body": body[:7], "more_body": True},
        {"type": "http.request", "body": body[7:], "more_body": False},
    ]
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())], "app": None}
    return await account_in(scope, ReadBody(messages, nothing_more))


@pytest.mark.parametrize(
    ("kind", "body", "named"),
    [
        (FORM, b"username=Ann%40example.com&password=x", "Ann@example.com"),
        (FORM, b"username=%ff", "\ufffd"),
        (MULTIPART, PART, "ann@example.com"),
        (JSON, b'{"email": "ann@example.com", "password": "x"}', "ann@example.com"),
    ],
)
async def test_the_account_of_a_login(kind: str, body: bytes, named: str) -> None:
    """In each way that a login may be sent."""
    assert await account(kind, body) == named


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FORM, b"username=ann%40example.com&username=bob%40example.com"),
        (FORM, b"username=&password=x"),
        (FORM, b"password=x"),
        (FORM, b"&".join(b"f%d=x" % number for number in range(MAX_FIELDS)) + b"&username=ann&password=x"),
        (FORM, b""),
        (MULTIPART, b"--x\r\nrubbish"),
        (MULTIPART, PART.replace(b'"username"', b'"username"; filename="u"')),
        (MULTIPART, PART.replace(b"--x--", PART)),
        (MULTIPART.replace("boundary", "b"), PART),
        (JSON, b'{"email": 1}'),
        (JSON, b'{"email": ""}'),
        (JSON, b'{"x": ' + b"[" * 16_000),
        ("text/plain", b"username=ann"),
        ("", b"username=ann"),
    ],
)
async def test_a_login_that_cannot_be_counted_is_refused(kind: str, body: bytes) -> None:
    """Whatever the users service would make of it: no name, two names, a file, too many fields, another form."""
    with pytest.raises(InvalidInput):
        await account(kind, body)


def test_a_digest_is_the_same_for_every_way_to_write_an_address() -> None:
    assert digest("ANN@Example.com") == digest("ann@example.com") != digest("bob@example.com")


def saying(*messages: Message) -> Callable[[], Awaitable[Message]]:
    return ReadBody(list(messages), nothing_more)


async def test_a_body_is_read_up_to_a_size() -> None:
    """More is 413; a client that leaves ends it, too; one that says no more is too slow."""
    piece: Message = {"type": "http.request", "body": b"x" * 1000, "more_body": True}
    with pytest.raises(HTTPException):
        await read_body(saying(*[piece] * (MAX_LOGIN_BYTES // 1000 + 1)), timeout_s=60)
    assert await read_body(saying(piece), timeout_s=60) == [piece, {"type": "http.disconnect"}]

    async def silent() -> Message:
        return await asyncio.Future()

    with pytest.raises(BodyTooSlow):
        await read_body(silent, timeout_s=0.01)


def test_an_account_is_the_same_however_it_is_written() -> None:
    """As the users service takes it: letters of either case, a domain in either form; what is no address, as it is."""
    assert digest("Ann@Example.com") == digest("ann@example.COM")
    assert digest("ann@xn--mnchen-3ya.example") == digest("ann@münchen.example")
    assert digest("nobody") != digest("\ud800")
