"""Requests that are too large, too deep or nonsense: the client's fault, told as such, and memory stays as it is."""

import asyncio
import contextlib

import psutil
import pytest

from tests.support.gateway.world import World
from tests.support.served import exchange, listening

BATCH = "/v1/dashboards/batch"
JSON = {"Content-Type": "application/json"}
PIECE = b"x" * 65_536
GROWTH_BYTES = 24 * 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"user_ids":' * 50_000,
        b'{"user_ids": ["\\ud800"]}',
        b'{"user_ids": ["\\u0000"]}',
        b'{"user_ids": [' + b"1," * 1000 + b"1]}",
        b'{"user_ids": 1' + b"0" * 10_000 + b"}",
        b"\xff\xfe",
        b"",
    ],
    ids=lambda body: repr(body)[:30],
)
async def test_bodies_that_are_no_request(world: World, body: bytes) -> None:
    """4xx as a problem."""
    answer = await world.client.post(BATCH, content=body, headers={**JSON, **world.bearer(role="admin")})
    assert 400 <= answer.status_code < 500
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/dashboard", "/v1/orders", "/v1/me", "/nowhere"])
async def test_queries_that_are_too_long(world: World, path: str) -> None:
    """422 wherever it is."""
    answer = await world.client.get(f"{path}?cursor={'x' * 9000}", headers=world.bearer())
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query")


@pytest.mark.parametrize("path", ["/v1/dashboard?budget_ms=1" + "0" * 30, "/v1/dashboard?panels=%00", "/v1/users/%00"])
async def test_values_that_are_none(world: World, path: str) -> None:
    """4xx as a problem."""
    answer = await world.client.get(path, headers=world.bearer())
    assert 400 <= answer.status_code < 500
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/orders", BATCH, "/v1/tokens", "/v1/users"])
async def test_a_body_without_end(world: World, path: str) -> None:
    """413 after the first megabyte, announced or not; what follows is not kept."""
    token = world.bearer(role="admin")["Authorization"]
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: application/json\r\n"
    async with listening(world.app) as port:
        announced = await exchange(port, f"{head}Connection: close\r\nContent-Length: 1000000000\r\n\r\n".encode())
        assert announced.startswith(b"HTTP/1.1 413 ")
        before = psutil.Process().memory_info().rss
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            for _ in range(1000):
                writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
                await writer.drain()
        assert (await reader.read(20)).startswith(b"HTTP/1.1 413 ")
        assert psutil.Process().memory_info().rss - before < GROWTH_BYTES
        writer.close()


async def test_heads_that_are_too_large(world: World) -> None:
    """431 as a problem, before any route is looked for."""
    async with listening(world.app) as port:
        answer = await exchange(port, b"GET /v1/me HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 40_000 + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b"application/problem+json" in answer
