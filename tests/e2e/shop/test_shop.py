"""An application with a database of its own, and the worker with its jobs: both are killed again and again under load.

docs/tutorials/shop is the application, docs/tutorials/your-own-application.md describes it.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from shared.db.migrations import upgrade
from tests.support.backends import RabbitBackend
from tests.support.backends.databases import NewDatabase
from tests.support.backends.smtp import SmtpServer
from tests.support.backends.vhosts import empty_vhost
from tests.support.programs import application, running, worker_with
from tests.support.waiting import eventually
from tools.devstack.system.ports import free_port

TUTORIALS = Path(__file__).parents[3] / "docs/tutorials"
LAST_S = 300.0
"""How long the worker may take to finish what was left, on a busy machine."""
CLIENTS = 4
JOBS = ["pack", "confirm"]
PAUSE_S = 0.05
"""The pause of a client after each request. Without one, the worker would need minutes for all orders."""


class Shop:
    """The two processes and their databases."""

    def __init__(self, shop_url: str, worker_url: str, rabbitmq_url: str, smtp: SmtpServer, logs: Path) -> None:
        self._shop_url = shop_url
        self._worker_url = worker_url
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "PYTHONPATH": f"{TUTORIALS.parents[1]}:{TUTORIALS}",
            "SHOP_DATABASE_URL": shop_url,
            "SHOP_RABBITMQ_URL": rabbitmq_url,
        }
        self.app = application("shop.app:app", port, environment, logs)
        self.worker = worker_with(
            "shop.jobs",
            database_url=worker_url,
            rabbitmq_url=rabbitmq_url,
            smtp_url=smtp.url,
            more=environment,
            folder=logs,
        )

    @asynccontextmanager
    async def databases(self) -> AsyncIterator[tuple[asyncpg.Connection, asyncpg.Connection]]:
        """A connection to the shop's, and one to the worker's."""
        shop, worker = await asyncpg.connect(self._shop_url), await asyncpg.connect(self._worker_url)
        try:
            yield shop, worker
        finally:
            await shop.close()
            await worker.close()


@pytest.fixture
async def shop(
    new_database: NewDatabase, rabbitmq: RabbitBackend, smtp: SmtpServer, tmp_path: Path
) -> AsyncIterator[Shop]:
    url = new_database()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TUTORIALS)
        await asyncio.to_thread(upgrade, TUTORIALS / "shop/migrations", url)
    with empty_vhost(rabbitmq) as vhost:
        shop = Shop(url, new_database("worker"), vhost, smtp, tmp_path)
        async with shop.databases() as (database, _):
            await database.execute("INSERT INTO articles VALUES ('tea', 1000000, 0), ('gone', 0, 0)")
        yield shop


@asynccontextmanager
async def load(url: str) -> AsyncIterator[Counter[int]]:
    """Clients that place orders within the block; every third order is for an article that is sold out. Yields the
    number of responses by status; 0 is for requests without a response."""
    counts: Counter[int] = Counter()

    async def client(number: int) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            for order in range(sys.maxsize):
                sku = "gone" if order % 3 == 2 else "tea"
                body = {"email": f"c{number}-{order}@example.com", "sku": sku, "quantity": 1 + order % 5}
                try:
                    counts[(await http.post("/orders", json=body)).status_code] += 1
                except httpx.HTTPError:
                    counts[0] += 1
                await asyncio.sleep(PAUSE_S)

    clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    try:
        yield counts
    finally:
        for each in clients:
            each.cancel()
        for each in clients:
            with suppress(asyncio.CancelledError):
                await each


async def under_kills(shop: Shop, rounds: int, orders: int) -> Counter[int]:
    """Kill both processes, in random order, whenever some more orders have been placed and jobs have been done."""
    choose = random.Random(rounds)
    async with running(shop.app, shop.worker), load(shop.url) as counts, shop.databases() as (_, worker):
        for _ in range(rounds):
            placed, done = counts[201], await jobs_done(worker)
            more = placed + choose.randint(1, orders)
            await eventually(partial(at_least, counts, more), LAST_S)
            await eventually(partial(more_done, worker, done), LAST_S)
            for victim in choose.sample([shop.app, shop.worker], 2):
                await victim.kill()
                await victim.start()
            await shop.app.until_ready()
    return counts


def at_least(counts: Counter[int], placed: int) -> bool:
    return counts[201] >= placed


async def jobs_done(worker: asyncpg.Connection) -> int:
    return int(await worker.fetchval("SELECT count(*) FROM jobs WHERE job = ANY($1) AND state = 'done'", JOBS))


async def more_done(worker: asyncpg.Connection, than: int) -> bool:
    return await jobs_done(worker) > than


async def check_effects(shop: Shop, smtp: SmtpServer) -> int:
    """Every committed order has taken effect once, and nothing else has. Returns the number of orders."""
    async with shop.databases() as (database, worker):
        orders = {row["id"]: row["quantity"] for row in await database.fetch("SELECT id, quantity FROM orders")}

        async def all_done() -> bool:
            done = await worker.fetchval("SELECT count(*) FROM jobs WHERE job = 'confirm' AND state = 'done'")
            return bool(done >= len(orders)) and not await database.fetchval("SELECT count(*) FROM outbox")

        await eventually(all_done, LAST_S)
        parcels = Counter(row["order_id"] for row in await database.fetch("SELECT order_id FROM parcels"))
        assert parcels == Counter(orders.keys())
        [article] = await database.fetch("SELECT * FROM articles WHERE sku = 'tea'")
        assert article["packed"] == 1_000_000 - article["left"] == sum(orders.values())
        rows = await worker.fetch("SELECT job, state, count(*) FROM jobs WHERE job = ANY($1) GROUP BY job, state", JOBS)
        assert {tuple(row) for row in rows} == {("pack", "done", len(orders)), ("confirm", "done", len(orders))}
        assert await worker.fetchval("SELECT count(*) FROM outbox") == 0
        check_mails(smtp, orders)
    return len(orders)


def check_mails(smtp: SmtpServer, orders: dict[UUID, Any]) -> None:
    """Each order has a mail. A mail that was in flight at a kill may have been sent again, under the same id."""
    mails = {str(order): set[str]() for order in orders}
    for received in smtp.messages:
        words = received.message.get_content().split()
        mails[words[words.index("order") + 1]].add(received.message_id)
    assert Counter(map(len, mails.values())) == Counter({1: len(orders)})


@pytest.mark.full
@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.long)])
async def test_every_committed_task_takes_effect_once(shop: Shop, smtp: SmtpServer, rounds: int) -> None:
    """Each process is killed several times. There is no task of an order that was refused: its transaction was rolled
    back."""
    counts = await under_kills(shop, rounds, orders=60)
    async with running(shop.app, shop.worker):
        assert await check_effects(shop, smtp) >= counts[201] > 0
    assert counts[409] > 0
    assert not set(counts) - {0, 201, 409}
