"""A password check of a signed-in user counts as a sign-in attempt, on every route with a password."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.gateway.api.personal_data import PATH as EXPORT
from services.users.main import create_app
from shared.contracts.internal_api import CONFIRM, CURRENT_PASSWORD, IDENTITY_FLOWS
from shared.contracts.internal_api import PERSONAL_DATA_PATH as SOURCE
from shared.ids import new_id
from tests.support.gateway.declared import OPERATIONS
from tests.support.gateway.stub import Exchange, replies
from tests.support.gateway.world import Start, World
from tests.support.users import settings_for
from tests.support.waiting import eventually

WRONG = {CURRENT_PASSWORD: "wrong"}
ROUTES = [("PATCH", "/v1/me"), ("DELETE", "/v1/me"), ("POST", EXPORT)]


@pytest.fixture
def email() -> str:
    """The address of an account that no other test has used."""
    return f"{uuid4().hex}@example.com"


def answering(email: str, status: int) -> Callable[[Exchange], Any]:
    """Answer a GET with the caller's profile, and all else with this status."""

    async def answer(exchange: Exchange) -> None:
        if exchange.request.method == "GET":
            await exchange.reply(json.dumps({"email": email}).encode())
        else:
            await exchange.reply(b'{"code": "wrong_password"}', status)

    return answer


def refuse(world: World, email: str) -> None:
    world.users.behaviours["/v1/me"] = answering(email, 422)
    world.users.behaviours[CONFIRM] = answering(email, 422)
    world.users.behaviours["/v1/tokens"] = replies(b"{}", 401)


async def attempt(world: World, user: UUID, method: str, path: str, **body: Any) -> httpx.Response:
    return await world.client.request(method, path, headers=world.bearer(user), json=body or WRONG)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_guesses_are_limited_like_sign_ins(start: Start, email: str, method: str, path: str) -> None:
    """Once the limit is reached, the next attempt is refused without reaching the service; other accounts are not
    affected."""
    async with start(limit_login_account="3/year") as world:
        refuse(world, email)
        user = new_id()
        for _ in range(3):
            assert (await attempt(world, user, method, path)).status_code == 422
        limited = await attempt(world, user, method, path)
        assert (limited.status_code, limited.json()["code"]) == (429, "rate_limited")
        assert limited.headers["RateLimit"].startswith('"login-account";r=0')
        assert sum(request.method == method and request.body != b"" for request in world.users.asked) == 3


async def test_attempts_count_together(start: Start, email: str) -> None:
    """Attempts on any route, from any session of the account, at any gateway, and sign-ins count together."""
    async with start(limit_login_account="4/year") as one, start(limit_login_account="4/year") as other:
        user = new_id()
        for world, (method, path) in zip((one, other, one), ROUTES, strict=True):
            refuse(world, email)
            assert (await attempt(world, user, method, path)).status_code == 422
        form = {"username": email.upper(), "password": "wrong"}
        assert (await other.client.post("/v1/tokens", data=form)).status_code == 401
        for method, path in ROUTES:
            assert (await attempt(one, user, method, path)).status_code == 429
        assert (await other.client.post("/v1/tokens", data=form)).status_code == 429


async def test_the_right_password_and_none_are_no_guesses(start: Start, email: str) -> None:
    """Repeated changes of a name do not count, and neither do right passwords."""
    async with start(limit_login_account="2/year", limits_report_s=0.02) as world:
        world.users.behaviours["/v1/me"] = answering(email, 200)
        user = new_id()
        for _ in range(5):
            assert (await attempt(world, user, "PATCH", "/v1/me", name="Ann")).status_code == 200
        for service in (world.users, world.orders, world.worker):
            service.behaviours[SOURCE] = replies(b'{"x":1}')
        for method, path in (("PATCH", "/v1/me"), ("POST", EXPORT)):
            for _ in range(3):

                async def passes(method: str = method, path: str = path) -> bool:
                    return (await attempt(world, user, method, path)).status_code == 200

                await eventually(passes)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("body", [b"{", b"[]", b'"current_password"', b"\xff\xfe{\x00}\x00", b"[" * 9000])
async def test_a_body_that_cannot_be_read_is_refused(world: World, method: str, path: str, body: bytes) -> None:
    """A request that cannot be counted does not reach the service."""
    headers = {**world.bearer(), "Content-Type": "application/json"}
    answer = await world.client.request(method, path, headers=headers, content=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")
    assert not world.users.asked


async def test_an_attempt_that_cannot_be_counted_is_refused(world: World) -> None:
    """This applies while the users service cannot say whose account it is."""
    world.users.behaviours["/v1/me"] = replies(b"{}", 503)
    for method, path in ROUTES:
        answer = await attempt(world, new_id(), method, path)
        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert {request.method for request in world.users.asked} == {"GET"}


@pytest.mark.parametrize(
    "form",
    [
        {"files": {"username": ("u", b"ann@example.com"), "password": (None, b"x")}},
        {"data": {"username": "ann@example.com", "password": "x", **{f"field{number}": "x" for number in range(21)}}},
        {"data": {"username": ["ann@example.com", "bob@example.com"], "password": "x"}},
        {"json": {"username": "ann@example.com", "password": "x"}},
        {"content": b"username=ann%40example.com&password=x"},
        {"content": b"--x\r\nrubbish", "headers": {"Content-Type": 'multipart/form-data; boundary="x"'}},
    ],
)
async def test_a_login_that_cannot_be_counted_is_refused(world: World, form: dict[str, Any]) -> None:
    """The response is 422 for any content, and the request does not reach the service."""
    for _ in range(12):
        assert (await world.client.post("/v1/tokens", **form)).status_code == 422
    assert not world.users.asked


def test_no_route_that_takes_a_password_is_forgotten() -> None:
    """Each operation of the users service with `current_password` in its body is declared as one. The gateway's own
    routes, an export and a sign-in to link an identity, count it themselves."""
    document = create_app(settings_for("postgresql://nobody@127.0.0.1:1/x")).openapi()
    schemas = document["components"]["schemas"]
    holding = {name for name, schema in schemas.items() if CURRENT_PASSWORD in schema.get("properties", {})}
    taking = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if any(name in json.dumps(operation.get("requestBody", {})) for name in holding)
    }
    declared = {(each.method, each.template) for each in OPERATIONS if each.takes_password}
    assert taking == declared | {("POST", CONFIRM), ("POST", IDENTITY_FLOWS)}
