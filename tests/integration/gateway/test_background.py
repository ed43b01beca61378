"""The gateway's background tasks while something that they need is away, hangs, or answers nonsense."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from services.gateway.auth import revocations
from services.gateway.auth.revocations import STREAM
from services.gateway.limits.redis_counter import SharedCounts
from services.gateway.live.feed import LiveFeed
from shared.contracts.internal_api import REVOCATIONS_PATH as REVOCATIONS
from shared.http.tokens import UserTokens
from shared.ids import new_id
from shared.observability import probes
from shared.server.background import Background
from tests.support.backends import RabbitBackend, RedisBackend
from tests.support.gateway.stub import StubService, replies
from tests.support.gateway.world import JWKS_PATH, SEED, Start, World, users_behaviours
from tests.support.link import Link
from tests.support.outages import SOON, Outage, hang, is_well, outages, refuse, running_tasks
from tests.support.waiting import eventually

LONG_S = 120
SHORT: dict[str, Any] = {
    "connect_timeout_s": 1,
    "jwks_timeout_s": 1,
    "jwks_refresh_s": 0.1,
    "openapi_timeout_s": 1,
    "openapi_refresh_s": 0.1,
    "redis_timeout_s": 1,
    "redis_write_timeout_s": 1,
    "revocation_block_s": 0.2,
    "limits_report_s": 0.1,
    "limits_redis_pause_s": 0.1,
    "feed_reconnect_s": 0.05,
    "cache_max_age_s": 0.01,
    "last_known_good_rewrite_s": 0.01,
}
"""So that what hangs is noticed, and what works is used, often."""


@dataclass(frozen=True)
class Dependency:
    """`named`: the checks that say that it is away. `works`: whether what needs it does its work."""

    named: frozenset[str]
    works: Callable[[World, StubService], Awaitable[bool]]
    needed: frozenset[str] = frozenset()
    """Those of `named` that only say so where it has never been there."""


async def ended_sessions_are_read(world: World, users: StubService) -> bool:
    session = new_id()
    told = {"cursor": 1, "sessions": [str(session)], "users": []}
    users.behaviours[REVOCATIONS] = replies(json.dumps(told).encode())
    await eventually(partial(is_refused, world, world.bearer(session=session)), LONG_S)
    asked = len(users.received)
    await eventually(lambda: {JWKS_PATH, "/openapi.json"} <= {request.target for request in users.received[asked:]})
    return True


async def redis_is_used(world: World, _: StubService) -> bool:
    """A revocation of another gateway is heard, and a panel is written."""
    session, user_id = new_id(), new_id()
    await world.redis.xadd(STREAM, {"session": str(session)})
    await eventually(partial(is_refused, world, world.bearer(session=session)), LONG_S)

    async def is_written() -> bool:
        await world.client.get("/v1/dashboard", headers=world.bearer(user_id))
        return bool(await world.redis.exists(f"lkg:user:{user_id}"))

    await eventually(is_written, LONG_S)
    return True


async def feed_is_heard(world: World, _: StubService) -> bool:
    return world.gateway.feed.connected


DEPENDENCIES = {
    "users": Dependency(frozenset({"ended_sessions"}), ended_sessions_are_read, frozenset({"jwks"})),
    "redis": Dependency(frozenset({"redis", "revocations", "limits"}), redis_is_used),
    "rabbitmq": Dependency(frozenset({"rabbitmq"}), feed_is_heard),
}
each_dependency = pytest.mark.parametrize("away", DEPENDENCIES)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Background, "POLICY", SOON)
    monkeypatch.setattr(revocations, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(SharedCounts, "FAILURE_SHOWN_S", 0.2)
    monkeypatch.setattr(LiveFeed, "CONNECT_TIMEOUT_S", 1.0)
    monkeypatch.setattr(LiveFeed, "DECLARE_TIMEOUT_S", 10.0)


class Around:
    """What the gateway reaches by links."""

    def __init__(self, users: StubService, links: dict[str, Link]) -> None:
        self.users = users
        self.links = links

    @property
    def settings(self) -> dict[str, Any]:
        users = self.links["users"].url
        return SHORT | {
            "users_url": users,
            "jwks_url": users + JWKS_PATH,
            "redis_url": self.links["redis"].url,
            "rabbitmq_url": self.links["rabbitmq"].url,
        }


@asynccontextmanager
async def surroundings(redis: RedisBackend, rabbitmq: RabbitBackend) -> AsyncIterator[Around]:
    async with AsyncExitStack() as stack:
        users = await stack.enter_async_context(StubService().running())
        users.behaviours |= users_behaviours(UserTokens([SEED], ttl_s=900))
        urls = {"users": users.url, "redis": redis.url, "rabbitmq": rabbitmq.url}
        yield Around(users, {name: await stack.enter_async_context(Link.to(url)) for name, url in urls.items()})


@pytest.fixture
async def around(redis: RedisBackend, rabbitmq: RabbitBackend) -> AsyncIterator[Around]:
    async with surroundings(redis, rabbitmq) as made:
        yield made


async def failed_checks(world: World) -> set[str]:
    _, said = await probes.readiness(world.app.state.checks)
    return {name for name, outcome in said["checks"].items() if outcome != "ok"}


async def names(world: World, checks: frozenset[str]) -> bool:
    return await failed_checks(world) - {"background"} == checks


async def is_ready(world: World) -> bool:
    return not await failed_checks(world)


async def is_refused(world: World, headers: dict[str, str]) -> bool:
    return (await world.client.get("/v1/me", headers=headers)).status_code == 401


async def assert_resumes(world: World, around: Around, away: str, tasks: set[str]) -> None:
    """Every task does its work again, without a restart."""
    await around.links[away].mend()
    await eventually(partial(is_ready, world), LONG_S)
    assert await DEPENDENCIES[away].works(world, around.users)
    assert running_tasks(world.app) == tasks
    assert world.app.state.background.failure is None
    assert await is_well(world.app)


@each_dependency
@outages
async def test_every_task_outlives_an_outage(start: Start, around: Around, away: str, outage: Outage) -> None:
    """That meets a running gateway: readiness names what is away, and nothing else."""
    async with start(**around.settings) as world:
        await eventually(partial(is_ready, world), LONG_S)
        tasks = running_tasks(world.app)
        await outage(around.links[away])
        await eventually(partial(names, world, DEPENDENCIES[away].named), LONG_S)
        await assert_resumes(world, around, away, tasks)


@each_dependency
@pytest.mark.parametrize("outage", [refuse, hang])
async def test_every_task_outlives_an_outage_at_the_start(
    start: Start, around: Around, away: str, outage: Outage
) -> None:
    """The gateway starts without it, and says so."""
    await outage(around.links[away])
    async with start(**around.settings) as world:
        dependency = DEPENDENCIES[away]
        await eventually(partial(names, world, dependency.named | dependency.needed), LONG_S)
        await assert_resumes(world, around, away, running_tasks(world.app))
