"""Pictures through the gateway, with the users service behind it."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr

from services.users.avatars.thumbnailer import Pictures
from services.users.main import create_app
from services.users.settings import Settings, Tuning
from shared.contracts.internal_api import MAX_PICTURE_BYTES
from shared.ids import new_id
from tests.support.backends import RabbitBackend
from tests.support.backends.databases import NewDatabase
from tests.support.drawn import BLUE, RED, SCRIPT, bomb, opened, picture
from tests.support.gateway.patience import PATIENCE_S
from tests.support.gateway.world import SECRET, Start, World
from tests.support.served import listening
from tests.support.waiting import eventually

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def users_database(new_database: NewDatabase) -> Iterator[str]:
    url = new_database("users")
    yield url
    new_database.drop(url)


@pytest.fixture
async def world(
    start: Start, users_database: str, rabbitmq: RabbitBackend, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """The events of the service stay in its outbox: what the gateway knows, it knows from its own routes."""
    monkeypatch.setattr(Pictures, "TIMEOUT_S", PATIENCE_S)
    settings = Settings(
        environment="development",
        internal_token_secret=SecretStr(SECRET),
        database_url=users_database,
        rabbitmq_url="amqp://127.0.0.1:1/",
    )
    app = create_app(settings, Tuning(argon2_time_cost=1, argon2_memory_kib=8, argon2_parallelism=1))
    async with (
        app.router.lifespan_context(app),
        listening(app) as port,
        start(users_url=f"http://127.0.0.1:{port}", rabbitmq_url=rabbitmq.url) as world,
    ):
        await eventually(lambda: world.gateway.cache.enabled)
        yield world


async def registered(world: World) -> UUID:
    body = {"email": f"{uuid4().hex}@example.com", "name": "Ada", "password": "correct horse battery"}
    return UUID((await world.client.post("/v1/users", json=body)).raise_for_status().json()["id"])


async def put(world: World, user_id: UUID, content: bytes, kind: str = "image/png") -> httpx.Response:
    headers = world.bearer(user_id) | {"Content-Type": kind}
    return await world.client.put("/v1/me/avatar", content=content, headers=headers)


async def shown_url(world: World, user_id: UUID) -> str | None:
    response = await world.client.get("/v1/dashboard?panels=user", headers=world.bearer(user_id))
    url: str | None = response.json()["panels"]["user"]["data"]["avatar_url"]
    return url


async def test_whoever_sets_a_picture_sees_it(world: World) -> None:
    """In the next dashboard, kept in memory or not; others with a token see it, too, and may keep it."""
    user_id = await registered(world)
    assert await shown_url(world, user_id) is None
    seen = set()
    for colour in (RED, BLUE):
        assert (await put(world, user_id, picture(size=(600, 600), colour=colour))).status_code == 200
        seen.add(url := await shown_url(world, user_id))
        assert url
        shown = await world.client.get(f"{url}&size=256", headers=world.bearer())
        assert (opened(shown.content).size, shown.headers["Content-Type"]) == ((256, 256), "image/webp")
        assert "immutable" in shown.headers["Cache-Control"]
        headers = world.bearer() | {"If-None-Match": shown.headers["ETag"]}
        assert (await world.client.get(f"{url}&size=256", headers=headers)).status_code == 304
        assert (await world.client.head(f"{url}&size=256", headers=world.bearer())).status_code == 200
    assert len(seen) == 2
    assert (await world.client.delete("/v1/me/avatar", headers=world.bearer(user_id))).status_code == 204
    assert await shown_url(world, user_id) is None


async def test_nobody_sets_the_picture_of_another(world: World) -> None:
    """There is no route for it, nor for administrators, and an identity that a client claims counts for nothing."""
    user_id, other = await registered(world), await registered(world)
    for role in ("user", "admin"):
        headers = world.bearer(other, role) | PNG | {"X-User-Id": str(user_id)}
        for method in ("PUT", "DELETE"):
            answer = await world.client.request(
                method, f"/v1/users/{user_id}/avatar", headers=headers, content=picture()
            )
            assert answer.status_code == 405
        assert (await world.client.put("/v1/me/avatar", headers=headers, content=picture())).status_code == 200
    assert await shown_url(world, user_id) is None


async def test_without_a_token_there_is_nothing_to_see(world: World) -> None:
    """401; with one, who has no picture and who does not exist look the same."""
    user_id = await registered(world)
    assert (await world.client.get(f"/v1/users/{user_id}/avatar")).status_code == 401
    answers = [
        await world.client.get(f"/v1/users/{each}/avatar", headers=world.bearer(user_id))
        for each in (user_id, new_id())
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "avatar_not_found")] * 2


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (SCRIPT, 422),
        pytest.param(bomb(), 422, marks=pytest.mark.full),
        pytest.param(picture()[:-40], 422, marks=pytest.mark.full),
        pytest.param(b"x" * (MAX_PICTURE_BYTES + 1), 413, marks=pytest.mark.full),
    ],
    ids=["script", "bomb", "cut off", "too large"],
)
async def test_what_is_no_picture_is_refused(world: World, content: bytes, status: int) -> None:
    """By a problem that names the field or the size."""
    answer = await put(world, await registered(world), content)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


async def test_only_pictures_may_be_that_large(world: World) -> None:
    """Two megabytes go through as a picture, and nowhere else."""
    user_id = await registered(world)
    large = picture(size=(900, 900)) + b"\0" * 2_000_000
    assert (await put(world, user_id, large)).status_code == 200
    changed = await world.client.patch("/v1/me", content=large, headers=world.bearer(user_id) | PNG)
    assert changed.status_code == 413
