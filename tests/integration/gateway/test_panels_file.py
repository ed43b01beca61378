"""The gateway with a panels file that changes, and without what a gateway can do without."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from services.gateway import metrics
from services.gateway.catalog import watcher
from shared.contracts import topology
from shared.ids import new_id
from tests.support.backends import RabbitBackend
from tests.support.gateway.issuers import AUDIENCE, ISSUER, IssuerSigner, jwks
from tests.support.gateway.stub import Exchange, StubService, replies
from tests.support.gateway.world import Start, World
from tests.support.served import listening
from tests.support.sse import reading
from tests.support.waiting import eventually

NOTES = """
[services.crm]
url = "{url}"

[panels.notes]
service = "crm"
get = "{get}"
kind = "object"
timeout_ms = 10000
{more}
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are noticed soon."""
    monkeypatch.setattr(watcher, "EVERY_S", 0.02)


@pytest.fixture
async def crm() -> AsyncIterator[StubService]:
    async with StubService({"*": replies(b'{"a": 1}')}).running() as service:
        yield service


@pytest.fixture
def file(tmp_path: Path, crm: StubService) -> Path:
    path = tmp_path / "panels.toml"
    write(path, crm)
    return path


def write(path: Path, crm: StubService, get: str = "/a", more: str = "") -> None:
    path.write_text(NOTES.format(url=crm.url, get=get, more=more))


def replace(path: Path, text: str) -> None:
    path.write_text(text)


def around(path: Path, before: str, after: str = "") -> None:
    path.write_text(before + path.read_text() + after)


async def panels(world: World, **headers: str) -> dict[str, Any]:
    answer = await world.client.get("/v1/dashboard", headers=world.bearer() | headers)
    found: dict[str, Any] = answer.json()["panels"]
    return found


async def test_a_changed_file_is_reloaded(start: Start, crm: StubService, file: Path) -> None:
    """Panels, routes, the description and the page follow it."""
    async with start(panels_file=file) as world:
        assert list(await panels(world)) == ["notes"]
        added = '[panels.more]\nservice = "crm"\nget = "/more"\nkind = "object"\ntimeout_ms = 9000\n'
        route = '{ method = "GET", path = "/v1/offers", service = "crm", access = "anonymous" }'
        around(file, f"routes = [{route}]\n", added)

        async def changed() -> bool:
            return list(await panels(world)) == ["notes", "more"]

        await eventually(changed)
        assert (await world.client.get("/v1/offers")).json() == {"a": 1}
        document = (await world.client.get("/openapi.json")).json()
        assert "/v1/offers" in document["paths"]
        module = (await world.client.get("/assets/000000000000/js/catalog.js")).text
        assert '"more"' in module
        write(file, crm)
        await eventually(lambda: len(world.gateway.catalog.panels) == 1)
        assert (await world.client.get("/v1/offers")).status_code == 404


async def test_a_request_in_flight_finishes_as_it_began(start: Start, crm: StubService, file: Path) -> None:
    """With the panel as it was declared then; nothing of it is kept under the new declaration."""
    arrived = asyncio.Event()

    async def waits(exchange: Exchange) -> None:
        await arrived.wait()
        await exchange.reply(b'{"old": true}')

    crm.behaviours["/a"] = waits
    write(file, crm, more="max_age_s = 60")
    async with start(panels_file=file) as world:
        headers = world.bearer(user_id := new_id())
        read = asyncio.create_task(world.client.get("/v1/dashboard", headers=headers))
        await eventually(lambda: crm.active == 1)
        write(file, crm, get="/b", more="max_age_s = 60")
        await eventually(lambda: world.gateway.catalog.panels[0].get == "/b")
        arrived.set()
        assert (await read).json()["panels"]["notes"]["data"] == {"old": True}
        assert world.gateway.cache.get("notes", str(user_id)) is None
        again = await world.client.get("/v1/dashboard", headers=headers)
        assert again.json()["panels"]["notes"]["data"] == {"a": 1}


async def test_an_unchanged_service_keeps_its_connections(start: Start, crm: StubService, file: Path) -> None:
    """A service that is gone loses them."""
    async with start(panels_file=file) as world:
        await panels(world)
        assert crm.connections == 1
        kept = world.gateway.backends._known["crm"]
        write(file, crm, get="/b")
        await eventually(lambda: world.gateway.catalog.panels[0].get == "/b")
        await panels(world)
        assert world.gateway.backends._known["crm"] is kept
        async with StubService({"*": replies(b"{}")}).running() as other:
            write(file, other, get="/c")
            await eventually(lambda: world.gateway.catalog.panels[0].get == "/c")
            await panels(world)
            await eventually(lambda: crm.connections == 0)


@pytest.mark.parametrize("text", ["[panels", "[panels.notes]\nservice = 'x'\n", ""])
async def test_a_broken_file_changes_nothing(start: Start, crm: StubService, file: Path, text: str) -> None:
    """The previous one stays in force, which metrics and readiness show until it is repaired."""
    async with start(panels_file=file) as world:
        replace(file, text)

        async def told() -> str:
            found: str = (await world.client.get("/readyz")).json()["checks"]["panels_file"]
            return found

        async def is_broken() -> bool:
            return str(file) in await told()

        await eventually(is_broken)
        assert (await world.client.get("/readyz")).status_code == 200
        assert [s.value for family in metrics.PANELS_FILE_VALID.collect() for s in family.samples] == [0]
        assert list(await panels(world)) == ["notes"]
        write(file, crm, get="/b")

        async def is_well() -> bool:
            return await told() == "ok"

        await eventually(is_well)
        assert world.gateway.catalog.panels[0].get == "/b"


async def test_a_file_behind_a_link_that_is_replaced(start: Start, crm: StubService, tmp_path: Path) -> None:
    """As a ConfigMap is: a symbolic link to a folder is replaced."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        write(tmp_path / version / "panels.toml", crm, get=f"/{version}")
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "panels.toml").symlink_to("data/panels.toml")
    async with start(panels_file=tmp_path / "panels.toml") as world:
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(tmp_path / "data")
        await eventually(lambda: world.gateway.catalog.panels[0].get == "/two")


async def test_a_secret_that_is_replaced(start: Start, crm: StubService, file: Path, tmp_path: Path) -> None:
    """Its file is followed, too."""
    secret = tmp_path / "secret"
    secret.write_text("one")
    write(file, crm, more=f'[services.crm.headers]\n"X-Key" = "file:{secret}"')
    async with start(panels_file=file) as world:
        await panels(world)
        secret.write_text("two")
        await eventually(lambda: world.gateway.catalog.services["crm"].headers == (("X-Key", "two"),))
        await panels(world)
        assert [request.values("x-key") for request in crm.received] == [["one"], ["two"]]


async def test_streams_end_when_the_panels_change(start: Start, crm: StubService, file: Path) -> None:
    """Their clients reconnect, and see the new panels."""
    async with (
        start(panels_file=file) as world,
        listening(world.app) as port,
        reading(f"http://127.0.0.1:{port}/v1/dashboard/events", world.bearer()) as stream,
    ):
        await stream.until("ready")
        write(file, crm, get="/b")
        assert (await stream.until("end")).data == {"reason": "reloaded"}


async def test_a_panel_is_kept_until_a_change_is_announced(
    start: Start, crm: StubService, file: Path, rabbitmq: RabbitBackend
) -> None:
    """In memory, while the live feed is connected."""
    write(file, crm, more='changed_by = ["order.paid"]')
    async with start(panels_file=file, rabbitmq_url=rabbitmq.url) as world:
        await eventually(lambda: world.gateway.cache.enabled)
        headers = world.bearer(user_id := new_id())
        for _ in range(2):
            await world.client.get("/v1/dashboard", headers=headers)
        assert len(crm.received) == 1
        async with await aio_pika.connect(rabbitmq.url) as connection:
            exchange = await (await connection.channel()).get_exchange(topology.EVENTS)
            message = aio_pika.Message(b"{}", headers={"subject": str(user_id), "type": "order.paid"})
            await exchange.publish(message, "order.paid")

            async def read_again() -> bool:
                await world.client.get("/v1/dashboard", headers=headers)
                return len(crm.received) == 2

            await eventually(read_again)


async def test_without_redis_rabbitmq_and_accounts(start: Start, file: Path) -> None:
    """Panels are read by the tokens of another issuer. Readiness names nothing that is not there, and routes that need
    it do not exist."""
    signer = IssuerSigner.of()
    async with StubService({"/jwks": replies(jwks(signer.jwk()))}).running() as issuer:
        trusted = [{"issuer": ISSUER, "audience": AUDIENCE, "jwks": f"{issuer.url}/jwks"}]
        without = {"redis_url": "", "rabbitmq_url": "", "jwks_url": "", "issuers": json.dumps(trusted)}
        async with start(panels_file=file, **without) as world:
            await eventually(lambda: all(keys.keys for keys in world.gateway.issuers.key_sets()))
            answer = await world.client.get("/readyz")
            assert answer.status_code == 200
            checks = answer.json()["checks"]
            assert not {"redis", "rabbitmq", "ended_sessions"} & checks.keys()
            assert set(checks.values()) == {"ok"}
            headers = {"Authorization": f"Bearer {signer.sign(sub='auth0|7')}"}
            answer = await world.client.get("/v1/dashboard", headers=headers)
            assert (answer.status_code, answer.json()["user_id"]) == (200, "auth0|7")
            assert answer.json()["panels"]["notes"]["data"] == {"a": 1}
            download = f"/v1/reports/{new_id()}/download"
            for method, path in (("POST", "/v1/tokens"), ("POST", "/v1/me/export"), ("GET", download)):
                assert (await world.client.request(method, path, headers=headers)).status_code == 404
            assert (
                await world.client.post("/web/session", json={"email": "a@b.c", "password": "x"})
            ).status_code == 404
