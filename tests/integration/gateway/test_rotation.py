"""Keys change while the system runs, and nobody notices."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from fastapi import FastAPI

from services.gateway.main import create_app as create_gateway
from services.gateway.settings import Settings as GatewaySettings
from services.gateway.settings import Tuning as GatewayTuning
from services.users.main import create_app as create_users
from services.users.settings import Settings as UserSettings
from services.users.settings import Tuning as UserTuning
from shared.http.tokens import b64url
from tests.support.backends import RedisBackend
from tests.support.backends.databases import NewDatabase
from tests.support.gateway.world import MORE_PATIENT, PATIENT
from tests.support.served import listening
from tests.support.users import PASSWORD
from tests.support.waiting import eventually

OLD, NEW = "o" * 32, "n" * 32
OLD_SEED, NEW_SEED = b64url(bytes([1] * 32)), b64url(bytes([2] * 32))
NOWHERE = "amqp://127.0.0.1:1/"


@pytest.fixture(scope="module")
def database_url(new_database: NewDatabase) -> Iterator[str]:
    url = new_database("users")
    yield url
    new_database.drop(url)


class Files:
    """The two files of keys, as an operator would write them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.secret, self.seeds = folder / "secret", folder / "seeds"
        self.secret.write_text(OLD)
        self.seeds.write_text(OLD_SEED)
        monkeypatch.delenv("INTERNAL_TOKEN_SECRET", raising=False)
        monkeypatch.setenv("INTERNAL_TOKEN_SECRET_FILE", str(self.secret))
        monkeypatch.setenv("USERS_SIGNING_KEYS_FILE", str(self.seeds))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    return Files(tmp_path, monkeypatch)


@asynccontextmanager
async def system(database_url: str, redis_url: str) -> AsyncIterator[tuple[FastAPI, FastAPI, httpx.AsyncClient]]:
    """A users service that listens, and a gateway before it."""
    quick: dict[str, Any] = {"environment": "development", "rabbitmq_url": NOWHERE}
    hashing: dict[str, Any] = {"argon2_time_cost": 1, "argon2_memory_kib": 8, "argon2_parallelism": 1}
    users = create_users(UserSettings(database_url=database_url, **quick), UserTuning(**hashing))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(users.router.lifespan_context(users))
        url = f"http://127.0.0.1:{await stack.enter_async_context(listening(users))}"
        told: dict[str, Any] = {"jwks_url": f"{url}/.well-known/jwks.json", "redis_url": redis_url}
        patient = PATIENT | {"jwks_unknown_key_pause_s": 0}
        settings = GatewaySettings(**quick, **told).model_copy(update=MORE_PATIENT)
        gateway = create_gateway(settings, GatewayTuning(**patient, jwks_retry_s=0.05), {"users": url})
        await stack.enter_async_context(gateway.router.lifespan_context(gateway))
        transport = httpx.ASGITransport(gateway, raise_app_exceptions=False)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://gateway"))
        yield users, gateway, http


class Traffic:
    """Somebody who keeps asking with their first token, and keeps refreshing; `statuses` are all the answers."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.statuses: list[int] = []
        self.kids: list[str] = []

    async def run(self) -> None:
        email = f"{uuid4().hex}@example.com"
        account = {"email": email, "name": "Ada", "password": PASSWORD}
        (await self._http.post("/v1/users", json=account)).raise_for_status()
        signed_in = await self._http.post("/v1/tokens", data={"username": email, "password": PASSWORD})
        first, refresh = signed_in.json()["access_token"], signed_in.json()["refresh_token"]
        token = first
        while True:
            refreshed = await self._http.post("/v1/tokens/refresh", json={"refresh_token": refresh})
            if refreshed.status_code == 200:
                token, refresh = refreshed.json()["access_token"], refreshed.json()["refresh_token"]
                self.kids.append(jwt.get_unverified_header(token)["kid"])
            asked = [await self._ask(each) for each in (first, token)]
            self.statuses += [refreshed.status_code, *asked]

    async def _ask(self, token: str) -> int:
        return (await self._http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})).status_code

    async def goes_on(self) -> None:
        """Until ten more requests have been answered."""
        seen = len(self.statuses)
        await eventually(lambda: len(self.statuses) >= seen + 10)


async def replace(path: Path, text: str, taken_over: Callable[[], bool]) -> None:
    """In one step: what is half written is never read."""
    written = path.with_suffix(".new")
    await asyncio.to_thread(written.write_text, text)
    await asyncio.to_thread(written.replace, path)
    await eventually(taken_over)


@pytest.mark.full
async def test_both_kinds_of_keys_change_under_traffic(database_url: str, files: Files, redis: RedisBackend) -> None:
    """Added behind, then put in front, then the old one taken away: no 401, and the first token still counts while
    its key is published."""
    async with system(database_url, redis.url) as (users, gateway, http):
        services = [app.state.service_tokens for app in (users, gateway)]
        traffic = Traffic(http)
        driven = asyncio.create_task(traffic.run())
        await eventually(lambda: traffic.kids)
        old = traffic.kids[0]
        for secrets in (f"{OLD},{NEW}", f"{NEW},{OLD}", NEW):
            await replace(
                files.secret,
                secrets,
                lambda: all(",".join(one._secrets) == secrets for one in services),  # noqa: B023
            )
            await traffic.goes_on()
        for seeds in (f"{OLD_SEED},{NEW_SEED}", f"{NEW_SEED},{OLD_SEED}"):
            known = [key["kid"] for key in users.state.user_tokens.jwks["keys"]]
            await replace(
                files.seeds,
                seeds,
                lambda: [key["kid"] for key in users.state.user_tokens.jwks["keys"]] != known,  # noqa: B023
            )
            await traffic.goes_on()
        await eventually(lambda: traffic.kids[-1] != old)
        await traffic.goes_on()
        driven.cancel()
        await asyncio.gather(driven, return_exceptions=True)
    assert set(traffic.statuses) == {200}
    assert len(set(traffic.kids)) == 2
