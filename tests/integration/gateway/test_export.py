"""The export, which the gateway assembles: complete, or not at all."""

import asyncio

import pytest

from services.gateway.api.personal_data import PATH
from shared.contracts.internal_api import CONFIRM
from shared.contracts.internal_api import PERSONAL_DATA_PATH as SOURCE
from shared.ids import new_id
from tests.support.gateway.stub import Behaviour, Exchange, cut_off, hang, replies, reset
from tests.support.gateway.world import Start, World
from tests.support.served import exchange, listening

PARTS = {
    "users": b'{"profile":{"name":"A}"},"sessions":[]}',
    "orders": b'{"orders":[1,2]}',
    "worker": b'{"reports":[]}',
}


def answer_all(world: World) -> None:
    for name, body in PARTS.items():
        getattr(world, name).behaviours[SOURCE] = replies(body)


async def test_it_is_everything_in_one_object(world: World) -> None:
    """The parts of all services are spliced together; the end is marked."""
    answer_all(world)
    user_id = new_id()
    answer = await world.client.post(PATH, headers=world.bearer(user_id))
    body = answer.json()
    assert body.pop("exported_at").endswith("Z")
    assert body == {
        "user_id": str(user_id),
        "profile": {"name": "A}"},
        "sessions": [],
        "orders": [1, 2],
        "reports": [],
        "complete": True,
    }
    assert list(answer.json())[-1] == "complete"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "attachment" in answer.headers["Content-Disposition"]
    for service in (world.users, world.orders, world.worker):
        assert service.last(SOURCE).values("X-User-Id") == [str(user_id)]


@pytest.mark.parametrize("service", ["users", "orders", "worker"])
@pytest.mark.parametrize(
    "fault", [replies(b"{}", 503), replies(b"{}", 404), reset, hang], ids=["503", "404", "reset", "hang"]
)
async def test_a_part_that_cannot_be_had_makes_it_a_503(start: Start, service: str, fault: Behaviour) -> None:
    """The response has Retry-After, and no connection stays open: there is no partial export."""
    patience = {"pass_through_timeout_s": 1.0} if fault is hang else {}
    async with start(**patience) as world:
        answer_all(world)
        getattr(world, service).behaviours[SOURCE] = fault
        answer = await world.client.post(PATH, headers=world.bearer())
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert answer.headers["Retry-After"]


async def test_a_part_that_cannot_be_had_ends_the_requests_for_the_others(start: Start) -> None:
    """The response does not wait for a hanging service, and the connection to that service is closed."""
    closed = asyncio.Event()

    async def hangs_until_closed(exchange: Exchange) -> None:
        await exchange.reader.read()
        closed.set()

    async with start(pass_through_timeout_s=30) as world:
        answer_all(world)
        world.users.behaviours[SOURCE] = hangs_until_closed
        world.orders.behaviours[SOURCE] = replies(b"{}", 503)
        async with asyncio.timeout(20):  # less than the timeout for the hanging service
            answer = await world.client.post(PATH, headers=world.bearer())
            await closed.wait()
        assert answer.status_code == 503


async def broken_off(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await exchange.raw(b'd\r\n{"orders":[1,\r\n')
    await asyncio.sleep(0)
    exchange.writer.transport.abort()


@pytest.mark.parametrize("fault", [broken_off, cut_off, replies(b'{"orders":[1')], ids=["aborted", "cut off", "no end"])
async def test_what_breaks_off_is_broken_off(world: World, fault: Behaviour) -> None:
    """The client's connection is reset, so that the response cannot be mistaken for a complete one."""
    answer_all(world)
    world.orders.behaviours[SOURCE] = fault
    head = "".join(f"{name}: {value}\r\n" for name, value in world.bearer().items())
    async with listening(world.app) as port:
        with pytest.raises(ConnectionResetError):
            await exchange(port, f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{head}\r\n".encode())


async def test_it_is_for_oneself_alone(world: World) -> None:
    """The response is 401 without a token."""
    answer_all(world)
    assert (await world.client.post(PATH)).status_code == 401


async def test_it_asks_for_the_password(world: World) -> None:
    """The users service verifies it. A refusal is passed on, and no service is asked for its part."""
    answer_all(world)
    world.users.behaviours[CONFIRM] = replies(b'{"code": "wrong_password"}', 422)
    refused = await world.client.post(PATH, headers=world.bearer(), json={})
    assert (refused.status_code, refused.json()) == (422, {"code": "wrong_password"})
    assert not world.orders.asked
    assert (await world.client.get(PATH, headers=world.bearer())).status_code == 405


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_another_method_is_told_what_to_send(world: World, method: str) -> None:
    """Clients from before exports needed a password send GET, and receive no data."""
    answer_all(world)
    answer = await world.client.request(method, PATH, headers=world.bearer())
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert method == "HEAD" or "current_password" in answer.json()["detail"]
    assert not world.users.asked
