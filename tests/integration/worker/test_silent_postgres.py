"""Postgres goes quiet: connections stay open, or open, and nothing comes back."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from services.worker.broker import message_processor
from services.worker.imports import importer
from services.worker.ledger import ledger, retries
from services.worker.ledger.ledger import Ledger
from services.worker.settings import Settings
from services.worker.webhooks import dispatcher
from shared.db import engine
from tests.support.backends import RabbitBackend
from tests.support.backends.smtp import SmtpServer
from tests.support.link import Link
from tests.support.waiting import eventually
from tests.support.worker.queues import consumers_of, drained, ready_messages
from tests.support.worker.world import LONG_S, World, created, working

ORDERS = 20
"""More than a worker has in hand of one queue of mails."""


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Link]:
    async with Link.to(settings.database_url) as link:
        yield link


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> dict[engine.Database, list[bool]]:
    """For each attempt to write a ledger while it is away, whether it succeeded."""
    outcomes: dict[engine.Database, list[bool]] = defaultdict(list)
    probe = Ledger.probe

    async def observed(ledger: Ledger) -> None:
        known = outcomes[ledger._db]
        known.append(False)
        await probe(ledger)
        known[-1] = True

    monkeypatch.setattr(Ledger, "probe", observed)
    return outcomes


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a black hole takes to be noticed."""
    monkeypatch.setattr(engine, "CONNECT_TIMEOUT_S", 1.0)
    monkeypatch.setattr(engine, "COMMAND_TIMEOUT_S", 1.0)
    monkeypatch.setattr(ledger, "PROBE_TIMEOUT_S", 0.5)


async def limit_deliveries(rabbitmq: RabbitBackend, settings: Settings, limit: int) -> None:
    vhost = settings.rabbitmq_url.rpartition("/")[2]
    policy = json.dumps({"delivery-limit": limit})
    await asyncio.to_thread(
        rabbitmq.rabbitmqctl, "set_policy", "-p", vhost, "limit", r"^worker\.", policy, "--apply-to", "queues"
    )


@pytest.mark.full
@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("outage", ["cut", "black hole"])
async def test_messages_go_back_once_and_wait_in_the_queue(
    settings: Settings,
    database: Link,
    rabbitmq: RabbitBackend,
    smtp: SmtpServer,
    attempts: dict[engine.Database, list[bool]],
    outage: str,
) -> None:
    """After the hold everything is back in its queue, nothing is taken until the ledger can be written again, and an
    outage far longer than the delivery limit's worth of holds leaves no message dead."""
    await limit_deliveries(rabbitmq, settings, 2)
    impatient = {"database_url": database.url, "hold_s": 0.2, "watch_interval_s": 0.1}
    async with working(settings.model_copy(update=impatient)) as cut_off:
        await cut_off.until_ready()
        world = World(cut_off.app, settings, cut_off.http)
        user_id = await world.known()
        if outage == "cut":
            await database.cut()
        else:
            database.black_hole()
        ids = await world.publish(*(created(user_id, total=100) for _ in range(ORDERS)))

        async def all_back() -> bool:
            return await consumers_of(settings, "worker.analytics") == 0

        await eventually(all_back, LONG_S)

        async def all_ready() -> bool:
            ready = [await ready_messages(settings, queue) for queue in ("worker.email", "worker.analytics")]
            return ready == [ORDERS, ORDERS]

        await eventually(all_ready, LONG_S)
        assert "waiting for the ledger" in (await world.ready()).json()["checks"]["rabbitmq"]
        assert (await world.http.get("/livez")).status_code == 200
        probed = attempts[cut_off.app.state.db]
        before = len(probed)
        await eventually(lambda: len(probed) > before + 3, LONG_S)
        assert not any(probed[before:])
        assert await all_ready(), "what is not taken cannot go back"
        await limit_deliveries(rabbitmq, settings, 100)  # how often a busy machine sends some back now is no matter
        await database.cut()
        await database.mend()
        await world.until_all(ids, analytics="done", email="done", notifications="done")
        await drained(world)
        assert len(smtp.messages) == ORDERS


@pytest.mark.full
async def test_a_black_hole_does_not_delay_the_shutdown(
    settings: Settings, database: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With work in hand that waits for a silent Postgres, the end of the grace period is the end."""
    for module in (message_processor, retries, importer, dispatcher):
        monkeypatch.setattr(module, "CANCEL_S", 0.3)
    monkeypatch.setattr(engine, "CLOSE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(engine, "COMMAND_TIMEOUT_S", 10 * LONG_S)
    cut_off = settings.model_copy(update={"database_url": database.url, "shutdown_grace_s": 0.3})
    async with working(cut_off) as world:
        await world.until_ready()
        database.black_hole()
        direct = World(world.app, settings, world.http)
        await direct.publish(*(created(uuid4(), mail=False) for _ in range(20)))

        async def in_hand() -> bool:
            return await ready_messages(settings, "worker.analytics") == 0

        await eventually(in_hand, LONG_S)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < LONG_S, "no timeout of Postgres ends it so soon"
