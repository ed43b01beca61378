"""Input that nobody should send, and what every service must say to it: that it is the client's fault."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import httpx
import pytest

JSON = {"Content-Type": "application/json"}
DEEP = 50_000
BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b'{"name": "\\ud800"}',
    b'{"\\ud800": 1}',
    b'{"name": NaN}',
    b'{"name": 1' + b"0" * 5000 + b"}",
    b"[" * DEEP,
    b'{"a":' * DEEP,
    b'{"name": "a", "name": "\\u0000"}',
]
"""None is what any route takes."""

INT64 = 2**63
PAGES = [
    "limit=1000000000",
    "limit=0",
    "limit=-1",
    "limit=1e2",
    f"limit={INT64}",
    "limit=" + "9" * 5000,
    "limit=%00",
    "cursor=",
    "cursor=x",
    "cursor=%00",
    "cursor=%ED%A0%80",
    "cursor=" + "A" * 23,
    "cursor=" + "A" * 5000,
    "cursor=AAAAAAAAAAAAAAAAAAAAA%2B",
]
"""Pages that no list has: too large, or behind a row that cannot be."""

PIECE = b"x" * 65_536

Ask = Callable[..., Awaitable[httpx.Response]]
"""`ask(method, path, **request)`."""

bodies = pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body)[:30])
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page[:30])


def assert_refused(answer: httpx.Response, *statuses: int) -> None:
    """4xx, or one of these, as a problem."""
    wanted = statuses or range(400, 500)
    assert answer.status_code in wanted, f"{answer.request.url}: {answer.status_code} {answer.text[:200]}"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code


async def refuses_body(ask: Ask, body: bytes, routes: Iterable[tuple[str, str]]) -> None:
    """On each of these routes."""
    for method, path in routes:
        assert_refused(await ask(method, path, content=body, headers=JSON))


async def refuses_page(ask: Ask, page: str, paths: Iterable[str]) -> None:
    """422 on each of these lists."""
    for path in paths:
        assert_refused(await ask("GET", f"{path}?{page}"), 422)


async def refuses_endless_body(ask: Ask, method: str, path: str, most: int, **request: Any) -> None:
    """413, whether its length was announced or not, when no more than that has been taken of it."""
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += len(PIECE)
            yield PIECE

    headers = JSON | request.pop("headers", {})
    assert_refused(await ask(method, path, content=endless(), headers=headers, **request), 413)
    assert taken <= most + 2 * len(PIECE)
    announced = headers | {"Content-Length": str(10**12)}
    assert_refused(await ask(method, path, content=b"{}", headers=announced, **request), 413)
