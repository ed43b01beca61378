"""REST panels: from a service that is a real server, and may misbehave, to the dashboard."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.gateway.upstream.resilience import MAX_PANEL_BYTES
from shared.contracts.panels import DEADLINE_HEADER
from shared.ids import new_id
from tests.support.gateway.stub import (
    Behaviour,
    Exchange,
    StubService,
    cut_off,
    hang,
    not_http,
    replies,
    reset,
    trickle,
)
from tests.support.gateway.world import Start, World
from tests.support.served import client, listening
from tests.support.waiting import eventually

POINTS = b'{"points": 7}'
"""What the service has of everybody."""
NEVER = 10**6
"""More calls than any test makes: no circuit opens."""


@dataclass
class Crm:
    """A gateway in front of a service that nobody here wrote: `panel` is its only panel."""

    world: World
    service: StubService

    async def read(self, user_id: UUID | None = None, query: str = "", **headers: str) -> httpx.Response:
        asked = self.world.bearer(user_id or new_id()) | headers
        return await self.world.client.get(f"/v1/dashboard{query}", headers=asked)

    async def panel(self, user_id: UUID | None = None, **headers: str) -> dict[str, Any]:
        """Return the panel, or why there is none."""
        answer = (await self.read(user_id, **headers)).json()
        panel: dict[str, Any] = answer["panels"]["points"]
        return panel


StartCrm = Callable[..., AbstractAsyncContextManager[Crm]]


@pytest.fixture
def start_crm(start: Start, tmp_path: Path) -> StartCrm:
    """Starts a gateway with a panels file: `more` are keys of the service, `panel` those of its panel."""

    @asynccontextmanager
    async def started(more: str = "", panel: str = "", end: str = "", **settings: Any) -> AsyncIterator[Crm]:
        async with StubService({"*": replies(POINTS)}).running() as service:
            path = tmp_path / "panels.toml"
            path.write_text(
                f'[services.crm]\nurl = "{service.url}/api"\n{more}\n[panels.points]\nservice = "crm"\n'
                f'get = "/customers/{{user_id}}/points"\nkind = "object"\ntimeout_ms = 10000\n{panel}\n{end}\n'
            )
            quiet: dict[str, Any] = {"breaker_min_calls": NEVER, "retry_share": 0, "panels_file": str(path)}
            async with start(**(quiet | settings)) as world:
                yield Crm(world, service)

    return started


@pytest.fixture
async def crm(start_crm: StartCrm) -> AsyncIterator[Crm]:
    async with start_crm() as started:
        yield started


async def test_a_panel_is_one_request(crm: Crm) -> None:
    """For the path of its user, with the deadline and the request id, and without anything that is the gateway's."""
    user_id = new_id()
    answer = await crm.read(user_id, **{"X-Request-Id": "abc", "Cookie": "session=1"})
    assert answer.json()["user_id"] == str(user_id)
    panel = answer.json()["panels"]["points"]
    assert (panel["status"], panel["data"]) == ("fresh", {"points": 7})
    (request,) = crm.service.received
    assert (request.method, request.target) == ("GET", f"/api/customers/{user_id}/points")
    told = {name.lower(): value for name, value in request.headers}
    assert told["accept"] == "application/json"
    assert told["x-request-id"] == "abc"
    assert int(told[DEADLINE_HEADER.lower()]) > 0
    assert not {"authorization", "cookie", "x-user-id"} & told.keys()


async def test_declared_headers_are_sent(start_crm: StartCrm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_KEY", "secret")
    async with start_crm('headers = { "X-Api-Key" = "env:CRM_KEY", "User-Agent" = "ours" }') as crm:
        await crm.panel()
        (request,) = crm.service.received
        assert (request.values("x-api-key"), request.values("user-agent")) == (["secret"], ["ours"])


async def test_a_cookie_of_the_service_is_not_kept(crm: Crm) -> None:
    """It would be sent for the next person."""

    async def sets_cookie(exchange: Exchange) -> None:
        await exchange.reply(POINTS, headers="Content-Type: application/json\r\nSet-Cookie: who=ada; Path=/\r\n")

    crm.service.behaviours["*"] = sets_cookie
    for _ in range(2):
        await crm.panel()
    assert [request.values("cookie") for request in crm.service.received] == [[], []]


async def redirects(exchange: Exchange) -> None:
    await exchange.reply(b"", 302, f"Location: {POINTS.decode()}\r\n")


async def packs(exchange: Exchange) -> None:
    await exchange.reply(POINTS, headers="Content-Type: application/json\r\nContent-Encoding: gzip\r\n")


async def endless(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await exchange.raw(b"10000\r\n" + b" " * 65536 + b"\r\n")


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (replies(b'{"points": 7}'), {"points": 7}),
        (replies(b"null"), None),
        (replies(b"", 204), None),
        (replies(b"nothing", 404), None),
        (replies(b"<html>"), "bad_response"),
        (replies(b'{"points": 7'), "bad_response"),
        (replies(b"[7]"), "bad_response"),
        (replies(b'{"points": "%b"}' % (b"7" * MAX_PANEL_BYTES)), "bad_response"),
        (endless, "bad_response"),
        (packs, "bad_response"),
        (redirects, "bad_response"),
        (replies(b"{}", 304), "bad_response"),
        (replies(b"{}", 400), "bad_response"),
        (replies(b"{}", 401), "bad_response"),
        (replies(b"{}", 403), "bad_response"),
        (replies(b"{}", 429), "overloaded"),
        (replies(b"{}", 500), "bad_response"),
        (replies(b"{}", 503), "bad_response"),
        (cut_off, "bad_response"),
        (reset, "bad_response"),
        (not_http, "bad_response"),
    ],
    ids=[
        *("an object", "null", "204", "404", "not JSON", "truncated JSON", "wrong kind", "too large", "endless"),
        *("packed", "302", "304", "400", "401", "403", "429", "500", "503", "cut off", "reset", "not HTTP"),
    ],
)
async def test_what_each_answer_becomes(crm: Crm, behaviour: Behaviour, outcome: object) -> None:
    """Data, no data, or the reason why there is none. The next read is not affected."""
    crm.service.behaviours["*"] = behaviour
    answer = await crm.read()
    if isinstance(outcome, str):
        assert answer.status_code == 503
        assert answer.json()["code"] == "no_panel_available"
    else:
        panel = answer.json()["panels"]["points"]
        assert (panel["status"], panel["data"], answer.json()["complete"]) == ("fresh", outcome, True)
    if outcome != "overloaded":
        crm.service.behaviours["*"] = replies(POINTS)
        assert (await crm.panel())["status"] == "fresh"


FAST = """
[services.other]
url = "{url}"
[panels.fast]
service = "other"
get = "/"
kind = "object"
timeout_ms = 10000
"""


@pytest.mark.parametrize("behaviour", [hang, trickle], ids=["hangs", "trickles"])
async def test_a_slow_service_costs_its_panel_alone(start_crm: StartCrm, behaviour: Behaviour) -> None:
    """It is given its timeout, and its connection is closed."""
    second = (
        '[services.other]\nurl = "http://127.0.0.1:1"\n[panels.fast]\nservice = "other"\nget = "/"\nkind = "object"\n'
    )
    async with (
        StubService({"*": replies(b"{}")}).running() as other,
        start_crm(
            end=second.replace("http://127.0.0.1:1", other.url) + "timeout_ms = 10000\n",
            panel_timeouts_s={"points": 0.2},
        ) as crm,
    ):
        crm.service.behaviours["*"] = behaviour
        panels = (await crm.read()).json()["panels"]
        assert panels["points"]["error"] == {"code": "timeout", "retryable": True}
        assert panels["fast"]["status"] == "fresh"
        await eventually(lambda: crm.service.connections == 0)


async def test_an_unreachable_service(start_crm: StartCrm) -> None:
    twin = '[panels.twin]\nservice = "crm"\nget = "/"\nkind = "object"\ntimeout_ms = 9000'
    async with start_crm(end=twin, urls={"crm": "http://127.0.0.1:1"}) as crm:
        answer = await crm.read()
        assert (answer.status_code, answer.json()["code"]) == (503, "no_panel_available")


async def test_another_replica_is_asked(start_crm: StartCrm) -> None:
    """If one cannot be connected to, and without a second attempt."""
    async with (
        StubService({"*": replies(POINTS)}).running() as replica,
        start_crm(urls={"crm": f"http://127.0.0.1:1,{replica.url}"}) as crm,
    ):
        for _ in range(4):
            assert (await crm.panel())["status"] == "fresh"
        assert (len(replica.received), len(crm.service.received)) == (4, 0)


async def test_a_service_that_asks_for_a_pause_gets_it(crm: Crm) -> None:
    """`Retry-After` is respected for all users."""

    async def busy(exchange: Exchange) -> None:
        await exchange.reply(b"{}", 429, "Retry-After: 60\r\n")

    crm.service.behaviours["*"] = busy
    await crm.read()
    crm.service.behaviours["*"] = replies(POINTS)
    assert (await crm.read()).status_code == 503
    assert len(crm.service.received) == 1


async def test_a_failure_is_repeated_once(start_crm: StartCrm) -> None:
    """Within the budget of second attempts; nobody notices."""
    async with start_crm(retry_share=1) as crm:
        answers = iter([replies(b"{}", 500), replies(POINTS)])

        async def behave(exchange: Exchange) -> None:
            await next(answers)(exchange)

        crm.service.behaviours["*"] = behave
        assert (await crm.panel())["status"] == "fresh"
        assert len(crm.service.received) == 2


async def test_a_slow_request_is_hedged(start_crm: StartCrm) -> None:
    """Once the service's usual latency is known."""
    async with start_crm(retry_share=1) as crm:
        await asyncio.gather(*(crm.panel() for _ in range(30)))
        hung = 0

        async def hangs_once(exchange: Exchange) -> None:
            nonlocal hung
            hung += 1
            await (hang if hung == 1 else replies(POINTS))(exchange)

        crm.service.behaviours["*"] = hangs_once
        assert (await crm.panel())["status"] == "fresh"
        assert hung == 2


async def test_the_circuit_opens_and_closes(start_crm: StartCrm) -> None:
    """After too many failures nobody waits for the service; it is probed without a caller."""
    async with start_crm(breaker_min_calls=3, breaker_open_s=0.05) as crm:
        crm.service.behaviours["*"] = replies(b"{}", 500)

        async def refused() -> bool:
            before = len(crm.service.received)
            return bool((await crm.read()).status_code == 503 and len(crm.service.received) == before)

        await eventually(refused)
        crm.service.behaviours["*"] = replies(POINTS)

        async def well() -> bool:
            return (await crm.read()).status_code == 200

        await eventually(well)


async def test_refusals_open_nothing(start_crm: StartCrm) -> None:
    async with start_crm(breaker_min_calls=3) as crm:
        crm.service.behaviours["*"] = replies(b"{}", 400)
        for _ in range(10):
            await crm.read()
        assert len(crm.service.received) == 10


async def test_the_last_known_good_value_is_shown(crm: Crm) -> None:
    user_id = new_id()
    await crm.panel(user_id)
    await eventually(lambda: _stored(crm))
    crm.service.behaviours["*"] = replies(b"{}", 500)
    panel = await crm.panel(user_id)
    assert (panel["status"], panel["data"]) == ("stale", {"points": 7})
    assert panel["error"] == {"code": "bad_response", "retryable": True}


async def _stored(crm: Crm) -> bool:
    return bool([key async for key in crm.world.redis.scan_iter("lkg:points*")])


async def test_concurrent_readers_share_one_request(crm: Crm) -> None:
    user_id, arrived = new_id(), asyncio.Event()

    async def waits(exchange: Exchange) -> None:
        await arrived.wait()
        await exchange.reply(POINTS)

    crm.service.behaviours["*"] = waits
    reads = [asyncio.create_task(crm.panel(user_id)) for _ in range(10)]
    await eventually(lambda: len(crm.world.gateway.reader.in_flight) and len(_waiters(crm)) == 10)
    arrived.set()
    assert {panel["status"] for panel in await asyncio.gather(*reads)} == {"fresh"}
    assert len(crm.service.received) == 1


def _waiters(crm: Crm) -> list[object]:
    reads = crm.world.gateway.reader.in_flight._open.values()
    return [waiter for panels in reads for read in panels.values() for waiter in read.waiters]


async def test_a_service_gets_no_more_requests_than_declared(start_crm: StartCrm) -> None:
    """The others wait for their turn, and none is refused."""
    async with start_crm("concurrency = 2") as crm:
        most, pairs = 0, asyncio.Barrier(2)

        async def counts(exchange: Exchange) -> None:
            nonlocal most
            most = max(most, crm.service.active)
            await pairs.wait()
            await exchange.reply(POINTS)

        crm.service.behaviours["*"] = counts
        panels = await asyncio.gather(*(crm.panel() for _ in range(12)))
        assert {panel["status"] for panel in panels} == {"fresh"}
        assert most == 2


@pytest.mark.parametrize(("keys", "requests"), [("", 2), ("max_age_s = 60", 1), ("max_age_s = 0", 2)])
async def test_a_panel_is_kept_as_long_as_declared(start_crm: StartCrm, keys: str, requests: int) -> None:
    """By its age, without RabbitMQ; a caller may ask for a new one."""
    async with start_crm(panel=keys) as crm:
        user_id = new_id()
        for _ in range(2):
            assert (await crm.panel(user_id))["status"] == "fresh"
        assert len(crm.service.received) == requests
        await crm.panel(user_id, **{"Cache-Control": "no-cache"})
        assert len(crm.service.received) == requests + 1


async def test_a_panel_ages(start_crm: StartCrm) -> None:
    async with start_crm(panel="max_age_s = 0.05") as crm:
        user_id = new_id()
        await crm.panel(user_id)

        async def read_again() -> bool:
            await crm.panel(user_id)
            return len(crm.service.received) > 1

        await eventually(read_again)


async def test_a_panel_that_changes_is_not_kept_without_the_feed(start_crm: StartCrm) -> None:
    """Its changes would not be noticed."""
    async with start_crm(panel='changed_by = ["order.paid"]') as crm:
        user_id = new_id()
        for _ in range(2):
            await crm.panel(user_id)
        assert len(crm.service.received) == 2


async def test_forwarded_headers_are_the_callers(start_crm: StartCrm) -> None:
    """The panel is part of their own dashboard alone: nobody's answer is another person's."""
    async with start_crm('forward = ["Authorization", "Accept-Language"]') as crm:
        ada, admin = new_id(), new_id()
        headers = crm.world.bearer(ada) | {"Accept-Language": "de"}
        await crm.world.client.get("/v1/dashboard", headers=headers)
        (request,) = crm.service.received
        assert request.values("authorization") == [headers["Authorization"]]
        assert request.values("accept-language") == ["de"]
        operator = crm.world.bearer(admin, "admin")
        other = await crm.world.client.get(f"/v1/users/{ada}/dashboard?panels=points", headers=operator)
        assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "panels")
        batch = await crm.world.client.post(
            "/v1/dashboards/batch?panels=points", headers=operator, json={"user_ids": [str(ada)]}
        )
        assert batch.status_code == 422
        assert len(crm.service.received) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_who_may_not_see_it_sees_no_old_value(start_crm: StartCrm, status: int) -> None:
    """If the service refuses the caller's own credentials."""
    async with start_crm(
        'forward = ["Authorization"]',
        end='[services.open]\nurl = "http://127.0.0.1:1"\n',
    ) as crm:
        user_id = new_id()
        await crm.panel(user_id)
        await eventually(lambda: _stored(crm))
        crm.service.behaviours["*"] = replies(b"{}", status)
        answer = await crm.read(user_id)
        assert answer.status_code == 503
        assert "points" not in json.dumps(answer.json().get("panels", {}).get("points", {}).get("data"))


async def test_a_reader_who_leaves_ends_the_request(crm: Crm) -> None:
    """The connection is closed, so that the service can stop, too."""
    crm.service.behaviours["*"] = hang
    async with listening(crm.world.app) as port, client(base_url=f"http://127.0.0.1:{port}") as http:
        task = asyncio.create_task(http.get("/v1/dashboard", headers=crm.world.bearer()))
        await eventually(lambda: crm.service.active == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await eventually(lambda: crm.service.connections == 0)


async def test_the_fast_path_answers_from_memory(start_crm: StartCrm) -> None:
    """In the same form as the application."""
    async with (
        start_crm(panel="max_age_s = 60") as crm,
        listening(crm.world.app) as port,
        client(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        headers = crm.world.bearer()
        first = await http.get("/v1/dashboard", headers=headers)
        second = await http.get("/v1/dashboard", headers=headers)
        assert first.json()["panels"]["points"]["data"] == second.json()["panels"]["points"]["data"] == {"points": 7}
        assert "desc=cache" in second.headers["Server-Timing"]
        assert len(crm.service.received) == 1


async def test_roles_are_declared(start_crm: StartCrm) -> None:
    more = '[panels.notes]\nservice = "crm"\nget = "/notes"\nkind = "object"\ntimeout_ms = 9000\nroles = ["admin"]\n'
    async with start_crm(end=more) as crm:
        assert list((await crm.read()).json()["panels"]) == ["points"]
        admin = await crm.world.client.get("/v1/dashboard", headers=crm.world.bearer(role="admin"))
        assert list(admin.json()["panels"]) == ["points", "notes"]


async def test_the_description_names_the_panels(crm: Crm) -> None:
    document = (await crm.world.client.get("/openapi.json")).json()
    for path, method in (("/v1/dashboard", "get"), ("/v1/dashboard/events", "get"), ("/v1/dashboards/batch", "post")):
        parameters = document["paths"][path][method]["parameters"]
        (panels,) = [each for each in parameters if each["name"] == "panels"]
        assert panels["schema"]["items"]["enum"] == ["points"]
    assert "/v1/me/export" not in document["paths"]


ROUTES = """
routes = [
  { method = "GET", path = "/v1/c/{id}/n/{rest:path}", target = "/c/{id}/{rest}", service = "crm", access = "user" },
  { method = "POST", path = "/v1/points", service = "crm", access = "user", touches = ["points"] },
  { method = "GET", path = "/v1/offers", service = "crm", access = "anonymous" },
]
"""


async def test_routes_are_passed_through(start_crm: StartCrm, tmp_path: Path) -> None:
    """With the caller's identity, the declared headers, and without a service token, which only this system gets."""
    async with start_crm('headers = { "X-Api-Key" = "k" }\nforward = ["Authorization"]', "max_age_s = 60") as crm:
        path = tmp_path / "panels.toml"
        path.write_text(ROUTES + path.read_text())
        user_id = new_id()
        headers = crm.world.bearer(user_id)

        async def offered() -> bool:
            return (await crm.world.client.get("/v1/offers")).status_code == 200

        await eventually(offered)
        crm.service.received.clear()
        answer = await crm.world.client.get("/v1/c/a%3Fb%20c/n/x/y%23?page=2", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"points": 7})
        (request,) = crm.service.received
        assert request.target == "/api/c/a%3Fb%20c/x/y%23?page=2"
        assert request.values("authorization") == [headers["Authorization"]]
        assert (request.values("x-api-key"), request.values("x-user-id")) == (["k"], [str(user_id)])
        for refused in ("/v1/c/../n/x", "/v1/c/a/n/x/%2E%2E/y"):
            assert (await crm.world.client.get(refused, headers=headers)).status_code in (404, 422)
        assert (await crm.world.client.get("/v1/c/a/n/x")).status_code == 401
        await crm.panel(user_id)
        crm.service.received.clear()
        await crm.world.client.post("/v1/points", headers=headers)
        await crm.panel(user_id)
        assert [request.method for request in crm.service.received] == ["POST", "GET"]
