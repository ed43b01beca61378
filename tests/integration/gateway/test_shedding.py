"""A gateway with too many requests in flight sheds others at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from services.gateway import metrics
from services.gateway.limits.load_shedding import LoadShedder
from tests.support.gateway.patience import PATIENCE_S
from tests.support.gateway.stub import Exchange
from tests.support.gateway.world import Start, World
from tests.support.metrics import sample
from tests.support.served import exchange, listening
from tests.support.waiting import eventually

SLOW = "/v1/me"
SITE = "https://app.example.com"


@asynccontextmanager
async def in_hand(world: World, number: int) -> AsyncIterator[None]:
    """Keep this many requests waiting for the users service."""
    go_on = asyncio.Event()
    waiting = 0

    async def wait(exchange: Exchange) -> None:
        nonlocal waiting
        waiting += 1
        await go_on.wait()
        await exchange.reply(b"{}")

    world.users.behaviours[SLOW] = wait
    tasks = [asyncio.create_task(world.client.get(SLOW, headers=world.bearer())) for _ in range(number)]
    await eventually(lambda: waiting == number)
    try:
        yield
    finally:
        go_on.set()
        assert [answer.status_code for answer in await asyncio.gather(*tasks)] == [200] * number


def shed(answer: httpx.Response) -> bool:
    """Assert that it is a 503 problem with Retry-After."""
    if answer.status_code != 503 or answer.json()["code"] != "overloaded":
        return False
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return True


async def test_what_is_too_much_is_refused_at_once(start: Start) -> None:
    """Requests in flight are finished, probes are answered, and afterwards everything works as before."""
    async with start(shed_most_in_hand=4) as world:
        async with in_hand(world, 4):
            assert shed(await world.client.get("/v1/dashboard", headers=world.bearer()))
            assert shed(await world.client.post("/v1/orders", headers=world.bearer(), content=b"x" * 1000))
            assert (await world.client.get("/livez")).status_code == 200
            assert (await world.client.get("/readyz")).status_code in (200, 503)
        assert (await world.client.get("/v1/dashboard", headers=world.bearer())).status_code == 200


async def test_what_can_wait_is_refused_first(start: Start) -> None:
    """Batches and uploads are shed at half of the limit, while dashboards are answered."""
    async with start(shed_most_in_hand=8) as world, in_hand(world, 4):
        admin = world.bearer(role="admin")
        assert shed(await world.client.post("/v1/dashboards/batch", headers=admin, json={"user_ids": []}))
        assert shed(await world.client.post("/v1/imports", headers=admin, content=b"x"))
        assert (await world.client.get("/v1/dashboard", headers=admin)).status_code == 200


async def test_a_slow_service_is_no_reason_to_refuse(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many requests wait for the service, but the event loop is on time."""
    looks = 0
    look = LoadShedder.look

    def counting(overload: LoadShedder, *seen: float) -> None:
        nonlocal looks
        looks += 1
        look(overload, *seen)

    monkeypatch.setattr(LoadShedder, "look", counting)
    lasting = {"shed_most_in_hand": 1000, "shed_min_in_flight": 1, "shed_lag_s": PATIENCE_S}
    async with start(**lasting) as world, in_hand(world, 50):
        looks = 0
        await eventually(lambda: looks >= 10)
        assert (await world.client.get("/v1/dashboard", headers=world.bearer())).status_code == 200


def counted() -> float | None:
    return sample("gateway_requests_in_hand")


def raw(world: World, method: str, path: str, *more: str, body: str = "") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: {world.bearer()['Authorization']}", *more]
    return "\r\n".join([*lines, "", body]).encode()


async def test_a_connection_outlives_a_refusal(start: Start) -> None:
    """Requests are shed as soon as the head has arrived, several in a row; later ones are answered on the same
    connection; all are counted."""
    async with start(shed_most_in_hand=2) as world, listening(world.app) as port:
        before = metrics.SHED.counts[("read",)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with in_hand(world, 2):
            writer.write(raw(world, "GET", "/v1/dashboard") * 2)
            for _ in range(2):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 503 ")
                assert b"nosniff" in head
                assert b'"overloaded"' in await reader.readexactly(length(head))
            writer.write(raw(world, "GET", "/livez"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(length(head))
        writer.write(raw(world, "GET", "/v1/dashboard"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert metrics.SHED.counts[("read",)] == before + 2


def length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])


async def test_whatever_is_more_than_a_head_is_refused_in_order(start: Start) -> None:
    """A body, a HEAD, a last request on its connection, and another site's script do not confuse what follows."""
    close = "Connection: close"
    asked = [
        ("POST", "/v1/orders", "Content-Length: 3", close),
        ("GET", "/v1/me", "Content-Length: 3", close),
        ("HEAD", "/v1/dashboard", close),
        ("GET", "/v1/dashboard", close),
        ("GET", "/v1/dashboard", f"Origin: {SITE}", close),
    ]
    async with (
        start(shed_most_in_hand=1, cors_origins=SITE) as world,
        listening(world.app) as port,
    ):
        async with in_hand(world, 1):
            for method, path, *more in asked:
                body = "abc" if "Content-Length: 3" in more else ""
                answer = await exchange(port, raw(world, method, path, *more, body=body))
                assert answer.startswith(b"HTTP/1.1 503 "), (method, more)
                assert answer.count(b"HTTP/1.1 ") == 1
                assert (b"access-control-allow-origin" in answer.lower()) == any("Origin" in each for each in more)
        assert b"HTTP/1.1 200 " in await exchange(port, raw(world, "GET", "/v1/dashboard", close))


async def test_what_is_counted_in_is_counted_out(start: Start) -> None:
    """Probes, streams, invalid paths, preflights, pipelined requests, and clients that disconnect: none stays in the
    count."""
    async with (
        start(shed_most_in_hand=1000, shed_min_in_flight=1000, cors_origins=SITE) as world,
        listening(world.app) as port,
    ):
        preflight = (f"Origin: {SITE}", "Access-Control-Request-Method: GET")
        for asked in (
            raw(world, "GET", "/livez", "Connection: close"),
            raw(world, "GET", "//", "Connection: close"),
            raw(world, "OPTIONS", "/v1/me", *preflight, "Connection: close"),
            raw(world, "GET", "/v1/orders/1/errors", "Connection: close"),
            raw(world, "GET", "/v1/dashboard") * 3 + raw(world, "GET", "/nowhere", "Connection: close"),
            b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            assert (await exchange(port, asked)).startswith(b"HTTP/1.1 ")
        async with in_hand(world, 1):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(raw(world, "GET", SLOW) * 3)
            await eventually(lambda: counted() == 2)
            writer.close()
        await eventually(lambda: counted() == 0)
