"""A service rejects the gateway's token or identity, which is never the client's fault."""

from uuid import UUID

import httpx
import pytest

from shared.errors import problem
from shared.http.tokens import ServiceTokens
from tests.support.gateway.stub import Exchange, replies
from tests.support.gateway.world import SECRET, Start, World
from tests.support.later import move_clock
from tests.support.metrics import sample

ORDER = "/v1/orders"


def counted(service: str) -> float:
    return sample("gateway_not_trusted_total", {"service": service}) or 0


def refuses(code: str, status: int) -> bytes:
    return httpx.Response(status, json=problem(status, code, "No", "no")).content


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"rubbish", refuses("unauthenticated", 401)], ids=repr)
@pytest.mark.parametrize("path", [ORDER, "/v1/me", "/v1/notifications", f"{ORDER}/{UUID(int=7)}"])
async def test_a_refusal_of_the_gateway_is_a_503(world: World, path: str, body: bytes, status: int) -> None:
    """The client's own token was valid: the response asks for a retry, not for a new sign-in. It is counted."""
    before = sum(counted(service) for service in ("users", "orders", "worker"))
    for service in (world.users, world.orders, world.worker):
        service.behaviours["*"] = replies(body, status)
    answer = await world.client.get(path, headers=world.bearer())
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert answer.headers["Retry-After"]
    assert "WWW-Authenticate" not in answer.headers
    assert sum(counted(service) for service in ("users", "orders", "worker")) == before + 1


@pytest.mark.parametrize("path", ["/v1/tokens", "/v1/tokens/refresh", "/v1/users", "/web/session"])
async def test_also_where_nobody_has_signed_in(world: World, path: str) -> None:
    """This also applies to sign-ins, which must not answer "sign in again"."""
    world.users.behaviours["*"] = replies(refuses("unauthenticated", 401), 401)
    answer = await world.client.post(path, json={"email": "a@example.com", "password": "b"})
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")


@pytest.mark.parametrize(("code", "status"), [("invalid_credentials", 401), ("some_rule", 403)])
async def test_a_refusal_of_the_client_goes_through(world: World, code: str, status: int) -> None:
    """The response is passed on with its body: wrong credentials, or a service's own reason."""
    world.users.behaviours["*"] = replies(refuses(code, status), status)
    for answer in (
        await world.client.post("/v1/tokens", data={"username": "a", "password": "b"}),
        await world.client.patch("/v1/me", json={}, headers=world.bearer()),
    ):
        assert (answer.status_code, answer.content) == (status, refuses(code, status))


async def test_a_panel_that_is_refused_is_counted(world: World) -> None:
    """The panel is unavailable, and the service still counts as healthy."""
    before = counted("orders")
    world.orders.behaviours["orders"] = replies(refuses("unauthenticated", 401), 401)
    for _ in range(15):
        panels = (await world.client.get("/v1/dashboard", headers=world.bearer())).json()["panels"]
        assert panels["orders"]["error"]["code"] == "bad_response"
    assert counted("orders") == before + 15


@pytest.mark.parametrize("ahead_s", [-30, -7, 7, 30])
async def test_clocks_that_differ_cost_nothing(start: Start, monkeypatch: pytest.MonkeyPatch, ahead_s: int) -> None:
    """A service with a different clock verifies the gateway's token, and requests are answered as usual."""
    async with start() as world:
        headers = world.bearer()
        world.app.state.service_tokens.token()
        verifying = ServiceTokens(SECRET, "orders")

        async def check(exchange: Exchange) -> None:
            with monkeypatch.context() as later:
                move_clock(later, seconds=ahead_s)
                token = exchange.request.values("authorization")[0].removeprefix("Bearer ")
                assert verifying.verify(token) == "gateway"
            await exchange.reply(b"{}")

        world.orders.behaviours[ORDER] = check
        assert (await world.client.post(ORDER, json={}, headers=headers)).status_code == 200


@pytest.mark.parametrize("ahead_s", [-30, -7, 7, 29])
async def test_a_user_token_of_another_clock_is_taken(
    start: Start, monkeypatch: pytest.MonkeyPatch, ahead_s: int
) -> None:
    """The clock of the users service is ahead of the gateway's, or behind it."""
    async with start() as world:
        with monkeypatch.context() as later:
            move_clock(later, seconds=ahead_s)
            headers = world.bearer()
        assert (await world.client.get("/v1/me", headers=headers)).status_code == 200
