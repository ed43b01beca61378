"""Dashboards that are answered in the protocol, against the same through FastAPI."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from services.gateway import metrics
from shared.http.tokens import UserTokens
from shared.ids import new_id
from shared.server.connection import GuardedProtocol
from tests.support.backends import RabbitBackend
from tests.support.gateway import stub
from tests.support.gateway.both_ways import BothWays, Side, both_ways
from tests.support.gateway.declared import PANELS
from tests.support.gateway.stub import Behaviour, Exchange, replies
from tests.support.gateway.world import SEED, Start, World
from tests.support.metrics import sample
from tests.support.served import client, listening
from tests.support.waiting import eventually

NAMES = [panel.name for panel in PANELS]
STEADY: dict[str, Any] = {
    "breaker_min_calls": 10**6,
    "hedge_min_s": 10**6,
    "limits_report_s": 10**6,
    "limit_read": "10000000/year",
    "limit_anonymous": "10000000/year",
}
"""Nothing that depends on how quick the machine is."""
ALLOWED = "https://app.example.com"
TRACE = "00-" + "1" * 32 + "-" + "2" * 16
Headers = list[tuple[str, str]]
HEADERS: dict[str, list[str]] = {
    "X-Request-Id": ["abc-1", "x" * 64, "x" * 65, "", "a b", "ü", "0"],
    "traceparent": [TRACE + "-00", TRACE + "-01", TRACE + "-ff", "rubbish", "", "00-" + "0" * 32 + "-1-00"],
    "Cache-Control": ["no-cache", "NO-CACHE", "max-age=0", 'max-age="00"', "no-store", "max-age=1", "x, no-cache", ""],
    "Connection": ["keep-alive", "Keep-Alive", "close", "CLOSE", "upgrade", "TE", "keep-alive, TE", ""],
    "Upgrade": ["h2c", "websocket"],
    "If-None-Match": ["*", '"x"'],
    "If-Modified-Since": ["Sat, 01 Jan 2050 00:00:00 GMT"],
    "Range": ["bytes=0-1"],
    "Origin": [ALLOWED, "https://other.example.com", "null", ""],
    "Access-Control-Request-Method": ["GET"],
    "Content-Length": ["0"],
    "Expect": ["100-continue", "x"],
    "Cookie": ["session=x", ""],
    "Accept": ["text/html", "*/*", "x"],
    "Accept-Encoding": ["gzip", "identity;q=0"],
    "Request-Deadline-Ms": ["1", "x"],
    "X-Forwarded-For": ["192.0.2.1"],
    "X-User-Id": ["1"],
    "Sec-Fetch-Site": ["cross-site"],
    "X-Unknown": ["", "é", "x" * 1000],
}
TARGETS = [
    *(
        "/v1/dashboard?",
        "/v1/dashboard/",
        "//v1/dashboard",
        "http://x/v1/dashboard",
        "/v1/dashboards",
        "/v1/dash%62oard",
    ),
    *("/V1/dashboard", "/v1/dashboard;x", "/v1/dashboard#x", "/v1/dashboard?#x", "/v1/dashboard?panels=user#x", "*"),
    *("/v1/dashboard/?panels=user", "/v1/me", "/v1/dashboard?\x7f", "/v1/dashboard?\xff"),
]
QUERIES = [
    *(
        "panels=user,orders",
        "panels=user&panels=orders",
        "panels=orders%2Cuser",
        "panels=analytics",
        "panels=",
        "panels",
    ),
    *(
        "panels=x",
        "panels=user,user",
        "%70anels=user",
        "panels=user,",
        "budget_ms=10000",
        "budget_ms=5",
        "budget_ms=1e3",
    ),
    *("budget_ms=%31000%30", "budget_ms=9999&budget_ms=9999", "budget_ms=", "budget_ms=%EF%BC%99999", "x=1", "&&"),
    *("&" * 8192, "&" * 8193, "panels=user" + ",user" * 2000, "panels=user&budget_ms=9999", "panels=user;orders", "="),
]


class Drawn:
    """Random requests: most as clients send them, some odd in one way or another."""

    def __init__(self, chance: random.Random, tokens: Sequence[str], odd: Sequence[str]) -> None:
        self._chance = chance
        self._tokens = tokens
        self._odd = odd

    def requests(self) -> bytes:
        """One, or several in a pipeline."""
        return b"".join(self._request() for _ in range(self._pick([1, 1, 1, 1, 2, 3])))

    def _request(self) -> bytes:
        method = "GET" if not self._rare() else self._pick(["HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
        target, body = "/v1/dashboard", ""
        if self._rare():
            target = self._pick(TARGETS)
        elif self._chance.random() < 0.3:
            target += "?" + self._pick(QUERIES)
        headers = [("Host", "x"), *self._authorization()]
        for name in self._chance.sample(sorted(HEADERS), self._pick([0, 0, 0, 1, 1, 2])):
            headers += [(name, self._pick(HEADERS[name]))] * (2 if self._rare() else 1)
        if self._rare():
            headers, body = [*headers, ("Content-Length", "5")], "hello"
        elif self._rare():
            headers, body = [*headers, ("Transfer-Encoding", "chunked")], "5\r\nhello\r\n0\r\n\r\n"
        self._chance.shuffle(headers)
        head = "".join(f"{self._cased(name)}:{self._pick([' ', ' ', '', '  '])}{value}\r\n" for name, value in headers)
        version = "1.1" if self._chance.random() < 0.97 else "1.0"
        return f"{method} {target} HTTP/{version}\r\n{head}\r\n{body}".encode("latin-1")

    def _authorization(self) -> Headers:
        token = self._pick(self._tokens)
        values = [f"Bearer {token}"]
        if self._rare():
            values = [
                f"bearer {token}",
                f"Bearer  {token}",
                f"Bearer {token} ",
                f"Bearer\t{token}",
                f"Bearer {token} x",
            ]
            values += ["Basic x", "Bearer", "", *(f"Bearer {each}" for each in self._odd)]
        return [("Authorization", self._pick(values))] * (0 if self._chance.random() < 0.02 else 1)

    def _cased(self, name: str) -> str:
        return str(self._pick([name, name, name.lower(), name.upper()]))

    def _rare(self) -> bool:
        return self._chance.random() < 0.06

    def _pick(self, values: Sequence[Any]) -> Any:
        return self._chance.choice(values)


def changing(side: Side) -> Behaviour:
    """Everything of the user changes while they are asked for."""

    async def behave(exchange: Exchange) -> None:
        for user_id in exchange.request.ids:
            side.world.gateway.invalidation.drop(UUID(user_id))
        await stub.answer_panel(exchange)

    return behave


async def no_user(exchange: Exchange) -> None:
    await exchange.reply_items({panel: {} for panel in exchange.request.panels})


async def odd_items(exchange: Exchange) -> None:
    items = dict.fromkeys(exchange.request.ids, "neither an object nor a list")
    await exchange.reply_items(dict.fromkeys(exchange.request.panels, items))


FAULTS: list[Behaviour] = [
    *(replies(b"{}", 500), replies(b"{}", 404), replies(b"{"), replies(b"{}"), replies(b"\xff")),
    *(no_user, odd_items, stub.reset, stub.cut_off, stub.not_http),
]


class Situation:
    """What the services do, and what is in memory: the same on both sides."""

    def __init__(self, chance: random.Random, users: Sequence[UUID], faults: bool = True) -> None:
        wrong = chance.sample(NAMES, chance.choice([0, 0, 0, 1, 1, 4])) if faults else []
        self._faults = {panel: chance.choice(FAULTS) for panel in wrong}
        self._changing = [panel for panel in NAMES if panel not in wrong and chance.random() < 0.1]
        self._dropped = {user: chance.sample(NAMES, chance.choice([0, 0, 1, 4])) for user in users}

    def set(self, side: Side) -> None:
        behaviours = self._faults | dict.fromkeys(self._changing, changing(side))
        for service in (side.world.users, side.world.orders, side.world.worker):
            for panel in NAMES:
                service.behaviours.pop(panel, None)
            service.behaviours |= behaviours
        for user, panels in self._dropped.items():
            side.world.gateway.invalidation.drop(user, panels)


SCENES: dict[str, dict[str, Any]] = {
    "ordinary": {},
    "console": {"form": "console"},
    "CORS": {"cors_origins": ALLOWED, "cors_credentials": True, "hsts_max_age_s": 1},
    "trusted traces": {"trace_trusted": "127.0.0.0/8"},
    "limits": {"limit_read": "15/year", "limit_anonymous": "5/year"},
    "no limits": {"limit_read": "", "limit_anonymous": ""},
    "no memory": {"cache_max_bytes": 0},
}


@pytest.mark.parametrize(
    ("seed", "requests"), [(0, 15), *(pytest.param(seed, 50, marks=pytest.mark.full) for seed in (0, 1))]
)
@pytest.mark.parametrize("scene", SCENES)
async def test_both_ways_are_the_same(
    start: Start, rabbitmq: RabbitBackend, scene: str, seed: int, requests: int
) -> None:
    """What clients are sent, what is counted and logged, and what services are asked."""
    chance = random.Random(seed)
    async with both_ways(start, **STEADY | {"rabbitmq_url": rabbitmq.url} | SCENES[scene]) as both:
        users = [new_id() for _ in range(3)]
        tokens = UserTokens([SEED], ttl_s=900)
        roles = ["user", "user", "support"]
        known = [tokens.issue(user, new_id(), role) for user, role in zip(users, roles, strict=True)]  # type: ignore[arg-type]
        drawn = Drawn(chance, known, [*await revoked(both, users[0]), *refused(users[0])])
        for _ in range(requests):
            situation = Situation(chance, users)
            for side in both.sides:
                situation.set(side)
            raw = drawn.requests()
            with both.recording(chance.choice([None, None, 0.0, 1.0])):
                await both.same(raw, chance.choice([0, 0, chance.randrange(raw.find(b"\r\n\r\n") + 4)]))
        assert sum(both.taken.values()) > requests / 4


async def revoked(both: BothWays, user: UUID) -> list[str]:
    """A token whose session has ended."""
    session = new_id()
    await both.fast.world.gateway.revocations.end_session(session)
    token = UserTokens([SEED], ttl_s=900).issue(user, session, "user")
    await both.plain.world.gateway.revocations.end_session(session)
    return [token]


def refused(user: UUID) -> list[str]:
    """Tokens that are not valid: expired, of another key, and none at all."""
    another = SEED[:-4] + "AAAA"
    return [
        UserTokens([SEED], ttl_s=-900).issue(user, new_id(), "user"),
        UserTokens([another], ttl_s=900).issue(user, new_id(), "user"),
        "x",
    ]


def dashboard(token: str, query: str = "", fields: str = "") -> bytes:
    return f"GET /v1/dashboard{query} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{fields}\r\n".encode()


async def test_a_long_query_is_refused(start: Start, rabbitmq: RabbitBackend) -> None:
    """Also one that says nothing."""
    async with both_ways(start, **STEADY, rabbitmq_url=rabbitmq.url) as both:
        (token,) = both.fast.world.bearer().values()
        await both.same(dashboard(token))
        for query, taken in (("?" + "&" * 8192, 1), ("?" + "&" * 8193, 0)):
            before = sum(both.taken.values())
            told = await both.same(dashboard(token, query))
            assert told.answer[0].split()[1] == (b"200" if taken else b"422")
            assert sum(both.taken.values()) - before == taken


async def test_answers_vary_by_origin_where_other_sites_may_read_them(start: Start, rabbitmq: RabbitBackend) -> None:
    """Also those to requests without an origin."""
    async with both_ways(start, **STEADY, rabbitmq_url=rabbitmq.url, cors_origins=ALLOWED) as both:
        (token,) = both.fast.world.bearer().values()
        await both.same(dashboard(token, "?panels=user"))
        for _ in range(2):
            assert b"vary: Origin" in (await both.same(dashboard(token))).answer
        assert both.taken == {"later": 1, "at once": 1}  # the first had a token that was not known


async def test_the_last_answer_says_so(start: Start, rabbitmq: RabbitBackend) -> None:
    """Of a server that begins to end while services are asked."""
    async with both_ways(start, **STEADY, rabbitmq_url=rabbitmq.url, cors_origins=ALLOWED) as both:
        (token,) = both.fast.world.bearer().values()
        await both.same(dashboard(token))
        for side in both.sides:
            side.world.gateway.cache.clear("test")
            side.world.orders.behaviours["orders"] = draining(side)
        told = await both.same(dashboard(token))
        assert b"connection: close" in told.answer
        assert both.taken["later"] == 1


def draining(side: Side) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        for connection in side.server.server_state.connections:
            assert isinstance(connection, GuardedProtocol)
            connection.drain()
        await stub.answer_panel(exchange)

    return behave


async def test_panels_that_time_out(start: Start, rabbitmq: RabbitBackend) -> None:
    """Are unavailable or stale; those in memory are fresh. No call is repeated by the hand-over."""
    settings = STEADY | {"rabbitmq_url": rabbitmq.url, "panel_timeouts_s": {"orders": 0.25}, "retry_share": 0}
    async with both_ways(start, **settings) as both:
        user = new_id()
        (token,) = both.fast.world.bearer(user).values()
        for side in both.sides:
            cache = side.world.gateway.cache
            cache.put(cache.begin(str(user)), {"orders": b"[]"})
        await both.same(dashboard(token))
        for side in both.sides:
            side.world.orders.behaviours["orders"] = stub.hang
            side.world.gateway.cache.drop(str(user), ["orders"])
        for query in ("", "?panels=orders", "?panels=user,orders"):
            told = await both.same(dashboard(token, query))
            assert len(told.calls) == 1
        assert both.taken["handed over"] == 3


async def test_a_panel_that_has_arrived_is_not_waited_for_again(world: World) -> None:
    """Another caller joins a read of which a part has arrived: they are told that part as well."""
    headers, go = world.bearer(), asyncio.Event()

    async def held(exchange: Exchange) -> None:
        await go.wait()
        await stub.answer_panel(exchange)

    world.orders.behaviours["orders"] = held
    async with listening(world.app) as port, client(base_url=f"http://127.0.0.1:{port}") as browser:
        ended = {name: calls_ended(name) for name in ("user", "analytics")}
        first = asyncio.create_task(browser.get("/v1/dashboard", headers=headers))
        await eventually(lambda: all(calls_ended(name) > count for name, count in ended.items()))
        joined = metrics.FLIGHTS_JOINED.totals()
        second = asyncio.create_task(browser.get("/v1/dashboard?budget_ms=10000", headers=headers))
        await eventually(lambda: metrics.FLIGHTS_JOINED.totals() - joined)
        go.set()
        assert (await first).json()["complete"]
        assert (await second).json()["complete"]
    assert len(world.users.queries("user")) == 1


def calls_ended(panel: str) -> float:
    return sample("gateway_panel_seconds_count", {"panel": panel}) or 0.0
