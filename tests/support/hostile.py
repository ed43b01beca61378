"""Input that nobody should send, and what every service must say to it: that it is the client's fault."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI

from shared.http.identity import GATEWAY, USER_ID_HEADER, USER_ROLE_HEADER
from shared.http.tokens import SERVICE_AUDIENCE, UserTokens, b64url
from shared.ids import new_id

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


def forged_service_tokens(secret: str) -> dict[str, str]:
    """By what is wrong with each."""
    now = int(time.time())
    claims = {"iss": GATEWAY, "aud": SERVICE_AUDIENCE, "iat": now, "exp": now + 60}

    def signed(key: str = secret, **changed: object) -> str:
        return jwt.encode(claims | changed, key, algorithm="HS256")

    return {
        "none": "",
        "rubbish": "a.b.c",
        "unsigned": jwt.encode(claims, None, algorithm="none"),  # type: ignore[arg-type]  # what an attacker may write
        "another key": signed(key="k" * 40),
        "expired": signed(exp=now - 60),
        "not yet valid": signed(nbf=now + 3600),
        "another audience": signed(aud="dashboard"),
        "another service's": signed(iss="nobody"),
        "a user's": UserTokens([b64url(b"k" * 32)], ttl_s=60).issue(new_id(), new_id(), "admin"),
    }


async def refuses_forged_tokens(app: FastAPI, routes: Iterable[tuple[str, str]]) -> None:
    """401 on each of these routes, though the headers say that an administrator is calling."""
    secret = app.state.settings.internal_token_secret.get_secret_value()
    identity = {USER_ID_HEADER: str(new_id()), USER_ROLE_HEADER: "admin"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as stranger:
        for wrong, token in forged_service_tokens(secret).items():
            for method, path in routes:
                answer = await stranger.request(method, path, headers=identity | {"Authorization": f"Bearer {token}"})
                assert answer.status_code == 401, (wrong, path)
                assert_refused(answer)
