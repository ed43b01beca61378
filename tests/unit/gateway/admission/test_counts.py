"""Counts of one gateway alone, and whose account a login is for."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message

from services.gateway.admission.accounts import MAX_LOGIN_BYTES, ReadBody, accounts_in, digest, read_body
from services.gateway.admission.counts import OwnCounts
from services.gateway.errors import BodyTooSlow

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
ANN, BOB = digest("ann@example.com"), digest("bob@example.com")
MULTIPART = 'multipart/form-data; boundary="x"'
PART = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\nann@example.com\r\n--x--\r\n'


def test_counts_alone_are_given_back_and_forgotten() -> None:
    """What is over takes no memory for long."""
    counts = OwnCounts()
    assert [counts.add("ann", 60, more, now=0) for more in (1, 1, -1, 1)] == [1, 2, 1, 2]
    for second in range(3 * counts.PURGE_FROM):
        counts.add(str(second), 60, 1, now=second)
    assert len(counts) <= counts.PURGE_FROM


async def nothing_more() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("kind", "body", "accounts"),
    [
        (FORM, b"username=Ann%40example.com&password=x", [ANN]),
        (FORM, b"username=ann%40example.com&username=bob%40example.com", [ANN, BOB]),
        (FORM, b"username=&password=x", []),
        (FORM, b"username=%ff", [digest("\ufffd")]),
        (MULTIPART, PART, [ANN]),
        (MULTIPART, b"--x\r\nrubbish", []),
        (JSON, b'{"email": "ann@example.com", "password": "x"}', [ANN]),
        (JSON, b'{"email": 1}', []),
        (JSON, b'{"x": ' + b"[" * 16_000, []),
        ("text/plain", b"username=ann", []),
    ],
)
async def test_the_account_of_a_login(kind: str, body: bytes, accounts: list[str]) -> None:
    """In each way that a login may be sent; none where there is none to be read."""
    messages: list[Message] = [
        {"type": "http.request", "body": body[:7], "more_body": True},
        {"type": "http.request", "body": body[7:], "more_body": False},
    ]
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())], "app": None}
    assert await accounts_in(scope, ReadBody(messages, nothing_more)) == accounts


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
