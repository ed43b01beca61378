"""Consumers in name only: the connection stands, the broker knows of them, and nothing arrives."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from faststream.rabbit.subscriber import RabbitSubscriber

from services.worker.broker import rabbitmq
from services.worker.broker.consumers import Consumers
from services.worker.settings import Settings
from shared.contracts.topology import QUEUES, JobQueue
from shared.rabbitmq import Nodes
from tests.support.link import Link
from tests.support.metrics import sample
from tests.support.waiting import eventually
from tests.support.worker.jobs import policy_of
from tests.support.worker.queues import ready_messages
from tests.support.worker.world import LONG_S, World, created, working

QUICK: dict[str, Any] = {"watch_interval_s": 0.1, "stall_s": 1}
MORE_THAN_PREFETCH = 30


async def swallow(*_: object) -> None:
    """A delivery that never reaches us."""


@contextmanager
def deaf() -> Iterator[Callable[[], None]]:
    """Consumers that are made now are given messages and lose them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RabbitSubscriber, "consume", swallow)
        yield patch.undo


async def livez(world: World) -> int:
    return (await world.http.get("/livez")).status_code


async def many(world: World) -> list[UUID]:
    return await world.publish(*(created(uuid4(), mail=False) for _ in range(MORE_THAN_PREFETCH)))


async def all_done(world: World, ids: list[UUID]) -> None:
    await world.until_all(ids, email="done", analytics="done", notifications="done")


async def test_a_stalled_consumer_is_built_anew(settings: Settings) -> None:
    """Messages are ready, none comes, and there is room for more: a new connection brings them, without a restart."""
    with deaf() as hear:
        async with working(settings.model_copy(update=QUICK)) as world:
            await world.until_ready()
            ids = await many(world)

            async def all_out() -> bool:
                return (
                    await ready_messages(settings, "worker.email") == MORE_THAN_PREFETCH - policy_of("email").prefetch
                )

            await eventually(all_out, LONG_S)
            hear()
            await all_done(world, ids)
            assert await livez(world) == 200


@pytest.mark.full
async def test_a_process_that_stays_deaf_asks_for_a_restart(settings: Settings) -> None:
    """Rebuilding does not help though RabbitMQ is well: /livez fails, and says why; it recovers with the consumers."""

    async def stuck() -> bool:
        return await livez(world) == 503

    async def alive() -> bool:
        return await livez(world) == 200

    with deaf() as hear:
        async with working(settings.model_copy(update=QUICK | {"stuck_after_s": 1})) as world:
            await world.until_ready()
            ids = await many(world)
            await eventually(stuck, LONG_S)
            assert "worker.email" in (await world.http.get("/livez")).json()["reason"]
            hear()
            await all_done(world, ids)
            await eventually(alive, LONG_S)


@pytest.fixture
def judgements(monkeypatch: pytest.MonkeyPatch) -> dict[int | None, list[bool]]:
    """By the port of a RabbitMQ: for each check of it, whether it answered."""
    found: dict[int | None, list[bool]] = defaultdict(list)
    answers = rabbitmq.answers

    async def observed(nodes: Nodes, queues: Sequence[JobQueue]) -> bool:
        answered = await answers(nodes, queues)
        found[nodes.urls[0].port].append(answered)
        return answered

    monkeypatch.setattr(rabbitmq, "answers", observed)
    return found


@contextmanager
def hasty() -> Iterator[None]:
    """A broker that says nothing is soon given up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Consumers, "RECOVER_S", 0.3)
        patch.setattr(Consumers, "LOOK_TIMEOUT_S", 0.3)
        patch.setattr(rabbitmq, "CONNECT_TIMEOUT_S", 0.3)
        patch.setattr(rabbitmq, "DECLARE_TIMEOUT_S", 0.3)
        patch.setattr(rabbitmq, "STOP_TIMEOUT_S", 0.3)
        yield


@pytest.mark.full
@pytest.mark.parametrize("outage", [Link.cut, Link.black_hole])
async def test_without_rabbitmq_a_restart_would_not_help(
    settings: Settings, judgements: dict[int | None, list[bool]], outage: Callable[[Link], Any]
) -> None:
    """However long the broker is away, refused or silent, the process counts as alive, and comes back by itself."""
    async with Link.to(settings.rabbitmq_url) as link:
        given = QUICK | {"stuck_after_s": 0.2, "rabbitmq_url": link.url}
        async with working(settings.model_copy(update=given)) as world:
            await world.until_ready()
            with hasty():
                if inspect.isawaitable(begun := outage(link)):
                    await begun

                async def lost() -> bool:
                    return (await world.ready()).status_code == 503

                await eventually(lost, LONG_S)
                checks = judgements[urlsplit(link.url).port]
                before = len(checks)

                async def judged() -> bool:
                    assert await livez(world) == 200
                    return len(checks) >= before + 4

                await eventually(judged, LONG_S)
                assert not any(checks[before:])
            await link.cut()
            await link.mend()
            await world.until_ready()


async def test_what_is_expected_and_what_is_there(alone: World) -> None:
    """The gauges count a consumer for each job and one for the dead, and say when each last had a message."""
    names = (*QUEUES, "dead")

    async def counted() -> bool:
        return sample("worker_consumers") == len(names)

    await eventually(counted, LONG_S)
    assert sample("worker_consumers_expected") == len(names)
    [event_id] = await alone.publish(created(uuid4(), mail=False))
    await alone.until(event_id, analytics="done")
    ages = {name: sample("worker_last_delivery_age_seconds", {"queue": f"worker.{name}"}) for name in names}
    assert None not in ages.values()
    assert ages["analytics"] is not None
    assert ages["analytics"] < LONG_S
