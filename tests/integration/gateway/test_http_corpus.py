"""The gateway's answers to raw requests, well formed and not."""

import pytest

from shared.server.serve import Server
from tests.support.backends import RabbitBackend
from tests.support.gateway.both_ways import Counted
from tests.support.gateway.world import Start, World
from tests.support.http_corpus import LAST, pipelines, singles
from tests.support.http_sockets import heard, how_often, wrong
from tests.support.served import listening, port_of, served
from tests.support.waiting import eventually
from tests.support.wire import statuses


@how_often
async def test_every_request_has_one_answer(world: World, random_cuts: int) -> None:
    """In order, and the connection ends where it must."""
    async with listening(world.app) as port:
        assert await wrong(port, [*singles(), *pipelines()[::29]], random_cuts) == []


@how_often
@pytest.mark.parametrize("cached", [True, False])
async def test_every_dashboard_has_one_answer(
    start: Start, rabbitmq: RabbitBackend, cached: bool, random_cuts: int
) -> None:
    """The same for requests that the protocol answers, at once or when the services have."""
    settings = {"rabbitmq_url": rabbitmq.url} if cached else {"cache_max_bytes": 0}
    async with start(**settings) as world:
        await eventually(lambda: world.gateway.cache.enabled or not cached)
        Counted.taken.clear()
        headers = world.bearer()
        assert (await world.client.get("/v1/dashboard", headers=headers)).status_code == 200
        fields = b"Authorization: %s\r\n" % headers["Authorization"].encode()
        cases = [case.aimed(b"/v1/dashboard", fields, {}) for case in [*singles(), *pipelines()[::29]]]
        async with served(world.app, Server, Counted) as server:
            assert await wrong(port_of(server), cases, random_cuts) == []
    assert Counted.taken["at once" if cached else "later"] > 10 * (random_cuts + 1)


async def test_a_body_with_an_offer_is_a_body(world: World) -> None:
    """Also where it is passed on, and where it is signed in with."""
    inner = b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n"
    (token,) = world.bearer().values()
    for path in (b"/v1/orders", b"/v1/tokens", b"/v1/dashboards/batch", b"/web/session"):
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n" % (path, token.encode())
        head += b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(inner)
        async with listening(world.app) as port:
            for cut in (0, len(head), len(head) + 5):
                found = await answers_to(port, head + inner, cut)
                assert len(found) == 2, (path, cut, found)
                assert found[-1] == 200
    assert not [request for request in world.users.received if request.target == "/v1/me"]
    orders = [request for request in world.orders.received if request.target == "/v1/orders"]
    assert [request.body for request in orders] == [inner] * 3
    assert all(request.values("Upgrade") == request.values("Connection") == [] for request in orders)


async def answers_to(port: int, raw: bytes, cut: int) -> tuple[int, ...]:
    return statuses(await heard(port, raw + LAST, cut))
