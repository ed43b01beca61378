"""The production setup of docker compose, with a project, a port and secrets of its own, and clients of it."""

import asyncio
import itertools
import json
import os
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.support.stack.running import PASSWORD
from tests.support.waiting import eventually
from tools.lab.rolling.follower import Follower

ROOT = Path(__file__).parents[3]
WITHIN_S = 180.0
FILES = "docker-compose.yml:deploy/compose/production.yml"
ITEM = {"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price": 1250}
REPLICATED = [f"{name}{suffix}" for name in ("gateway", "users", "orders", "worker") for suffix in ("", "-2")]


class Production:
    def __init__(self, port: int, secrets: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.project = f"dashboard-production-{port}"
        self._environment = os.environ | {
            "PORT": str(port),
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_FILE": FILES,
            "SECRETS_DIR": str(secrets),
            "SKIP_BUILD": "1",
        }
        self.run("python3", "deploy/compose/secret_files.py")

    def __call__(self, *arguments: str) -> str:
        return self.run("docker", "compose", *arguments)

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self) -> None:
        self("up", "--build", "--wait")

    def containers(self) -> dict[str, str]:
        """Return the id of each service's container."""
        running = map(json.loads, self("ps", "--format", "json").splitlines())
        return {container["Service"]: container["ID"] for container in running}

    def published(self) -> set[tuple[str, int]]:
        running = map(json.loads, self("ps", "--format", "json").splitlines())
        return {
            (container["Service"], port["TargetPort"])
            for container in running
            for port in container["Publishers"]
            if port["PublishedPort"]
        }

    def sql(self, database: str, statement: str) -> str:
        return self("exec", "-T", "postgres", "psql", "-U", "postgres", "-d", database, "-Atc", statement).strip()


class Client:
    """A user who orders and reads the dashboard, request after request; `outcomes` counts the results."""

    def __init__(self, url: str) -> None:
        self.email = f"{uuid4().hex}@example.com"
        self.outcomes: Counter[str] = Counter()
        self.orders: list[str] = []
        self._url = url
        # Idle connections of its own end before nginx would end them.
        self._http = httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(keepalive_expiry=30))
        self.headers: dict[str, str] = {}

    async def arrive(self) -> None:
        """Register, however long the machine needs to hash a password."""
        await eventually(self._registered, WITHIN_S)
        await eventually(self._signed_in, WITHIN_S)

    async def _registered(self) -> bool:
        body = {"email": self.email, "name": "Ann", "password": PASSWORD}
        answer = await self._http.post("/v1/users", json=body)
        return answer.status_code in (httpx.codes.CREATED, httpx.codes.CONFLICT)

    async def _signed_in(self) -> bool:
        try:
            await self.sign_in()
        except httpx.HTTPStatusError:
            return False
        return True

    async def sign_in(self) -> None:
        form = {"username": self.email, "password": PASSWORD}
        answer = (await self._http.post("/v1/tokens", data=form)).raise_for_status()
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def place(self) -> None:
        answer = await self._ask("POST", "/v1/orders", json={"currency": "EUR", "items": [ITEM]})
        if answer is not None and answer.status_code == httpx.codes.CREATED:
            self.orders.append(answer.json()["id"])

    async def dashboard(self) -> Any:
        answer = await self._ask("GET", "/v1/dashboard")
        return None if answer is None else answer.json()

    async def analytics(self) -> int:
        """Return the number of orders in the analytics."""
        data = (await self.dashboard())["panels"]["analytics"]["data"] or {}
        return int(data.get("orders", 0))

    async def known_orders(self) -> set[str]:
        answer = await self._http.get("/v1/orders?limit=100", headers=self.headers)
        return {order["id"] for order in answer.raise_for_status().json()["items"]}

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        try:
            answer = await self._http.request(method, path, headers=self.headers, **more)
        except httpx.HTTPError as error:
            self.outcomes[f"{method} {path}: {error!r}"] += 1
            return None
        said = "" if answer.is_success else f" {answer.text}"
        self.outcomes[f"{method} {path}: {answer.status_code}{said}"] += 1
        return answer

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def requests(client: Client, callers: int = 4) -> AsyncIterator[Follower]:
    """Send requests for orders and dashboards, and keep a live stream open, during the block."""
    over = asyncio.Event()
    follower = Follower([client._url], client.headers)

    async def call() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            await (client.place() if number % 2 else client.dashboard())
            await asyncio.sleep(0.05)

    calling = [asyncio.create_task(call()) for _ in range(callers)]
    following = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        over.set()
        await asyncio.gather(*calling)
        following.cancel()
        await asyncio.wait([following])
