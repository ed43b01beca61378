"""The production setup of docker compose: a front, two of each service, secrets in files, upgrades, backups."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.stack.production import REPLICATED, WITHIN_S, Client, Production, requests
from tests.support.waiting import eventually
from tools.devstack.system.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.long]


@pytest.fixture(scope="module")
async def production(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Production]:
    production = Production(free_port(), tmp_path_factory.mktemp("production") / "secrets")
    try:
        await asyncio.to_thread(production.up)
        yield production
    finally:
        await asyncio.to_thread(production, "down", "--volumes", "--timeout", "5")


@pytest.fixture
async def client(production: Production) -> AsyncIterator[Client]:
    client = Client(production.url)
    await client.arrive()
    yield client
    await client.close()


async def test_the_front_alone_is_published_and_tells_who_the_client_is(production: Production, client: Client) -> None:
    """The front forwards neither metrics nor internal paths, and the audit log has the client's address."""
    assert production.published() == {("front", 8000)}
    async with httpx.AsyncClient(base_url=production.url, timeout=60) as http:
        assert (await http.get("/metrics")).status_code == 404
        assert (await http.post("/internal/panels/user")).status_code == 404
        form = {"username": client.email, "password": "wrong"}
        await http.post("/v1/tokens", data=form, headers={"X-Forwarded-For": "192.0.2.1"})
    noted = set(production.sql("users", "SELECT DISTINCT address FROM audit").splitlines())
    fronts = production("exec", "-T", "front", "hostname", "-i").split()
    assert noted
    assert noted.isdisjoint({*fronts, "192.0.2.1"})


async def test_an_upgrade_fails_no_request(production: Production, client: Client) -> None:
    """Every process is replaced, one after the other, while orders, dashboards and a live stream continue."""
    before = production.containers()
    async with requests(client) as follower:
        await asyncio.to_thread(production.run, "deploy/compose/upgrade.sh")
        await eventually(lambda: _says_all(client), WITHIN_S)
    after = production.containers()
    assert all(before[name] != after[name] for name in REPLICATED)
    assert not follower.failures
    assert {outcome.rpartition(": ")[2] for outcome in client.outcomes} == {"200", "201"}, client.outcomes
    print(client.outcomes, "streams:", follower.streams)  # noqa: T201  for the figures in docs/upgrading.md


async def _says_all(client: Client) -> bool:
    return await client.analytics() >= len(client.orders) > 0


async def test_what_was_backed_up_is_there_again(production: Production, client: Client) -> None:
    """The volumes are deleted, the dump is restored into new ones, and all users have their orders again."""
    for _ in range(5):
        await client.place()
    await eventually(lambda: _says_all(client), WITHIN_S)
    await asyncio.to_thread(production, "exec", "-T", "backup", "sh", "/backup.sh", "once")
    await asyncio.to_thread(_destroy, production)
    await asyncio.to_thread(production.run, "deploy/compose/restore.sh", "latest")
    await client.sign_in()
    assert await client.known_orders() == set(client.orders)
    assert await client.analytics() == len(client.orders)
    await client.place()
    await eventually(lambda: _says_all(client), WITHIN_S)


def _destroy(production: Production) -> None:
    """Delete everything except the backups."""
    production("down", "--timeout", "5")
    production.run(
        "docker", "volume", "rm", *(f"{production.project}_{name}" for name in ("postgres", "rabbitmq", "uploads"))
    )


def test_only_the_newest_backups_are_kept(production: Production) -> None:
    """An incomplete backup does not get its final name."""
    for _ in range(3):
        production("exec", "-T", "-e", "BACKUP_KEEP=2", "backup", "sh", "/backup.sh", "once")
    assert len(production("exec", "-T", "backup", "sh", "/backup.sh", "list").split()) == 2
