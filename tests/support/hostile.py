"""Invalid input, and the expected response of every service: a client error."""

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
"""Bodies that no route accepts."""

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
"""Pages that no list has: too large, or after a row that cannot exist."""

PIECE = b"x" * 65_536

Ask = Callable[..., Awaitable[httpx.Response]]
"""`ask(method, path, **request)`."""

bodies = pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body)[:30])
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page[:30])


def assert_refused(answer: httpx.Response, *statuses: int) -> None:
    """Assert that the response is a problem with a 4xx status, or one of these."""
    wanted = statuses or range(400, 500)
    assert answer.status_code in wanted, f"{answer.request.url}: {answer.status_code} {answer.text[:200]}"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code


async def refuses_body(ask: Ask, body: bytes, routes: Iterable[tuple[str, str]]) -> None:
    """Assert that each of these routes refuses the bodies."""
    for method, path in routes:
        assert_refused(await ask(method, path, content=body, headers=JSON))


async def refuses_page(ask: Ask, page: str, paths: Iterable[str]) -> None:
    """Assert that each of these lists answers 422."""
    for path in paths:
        assert_refused(await ask("GET", f"{path}?{page}"), 422)


async def refuses_endless_body(ask: Ask, method: str, path: str, most: int, **request: Any) -> None:
    """Assert that the response is 413, with and without an announced length, before more than the limit was read."""
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
    """Return forged tokens, by their defect."""
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
    """Assert that each of these routes answers 401, although the headers name an administrator."""
    secret = app.state.settings.internal_token_secret.get_secret_value()
    identity = {USER_ID_HEADER: str(new_id()), USER_ROLE_HEADER: "admin"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as stranger:
        for wrong, token in forged_service_tokens(secret).items():
            for method, path in routes:
                answer = await stranger.request(method, path, headers=identity | {"Authorization": f"Bearer {token}"})
                assert answer.status_code == 401, (wrong, path)
                assert_refused(answer)
