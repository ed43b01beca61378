"""All four services in this process, each with a real listener, with users of every role and their data."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from services.gateway.main import create_app as gateway_app
from services.gateway.settings import Settings as GatewaySettings
from services.gateway.settings import Tuning as GatewayTuning
from services.orders.main import create_app as orders_app
from services.orders.settings import Settings as OrdersSettings
from services.users.main import create_app as users_app
from services.users.settings import Settings as UsersSettings
from services.users.settings import Tuning as UsersTuning
from shared.db.migrations import migrate
from shared.http.tokens import Role, ServiceTokens
from shared.ids import new_id
from tests.support.backends import Backends
from tests.support.backends.vhosts import empty_vhost
from tests.support.served import listening
from tests.support.stack.budgets import TUNING, settings_of
from tests.support.waiting import eventually
from tests.support.worker.world import Tuned as WorkerSettings
from tests.support.worker.world import app_of as worker_app

SECRET = SecretStr("a secret that only these tests know")
NOBODY = "smtp://127.0.0.1:1"
PATIENCE_S = 240.0
PASSWORD = "correct horse battery"
ORDER = {"currency": "EUR", "items": [{"sku": "tea", "name": "Green tea", "quantity": 2, "unit_price": 1250}]}
CSV = b"reference,currency,sku,name,quantity,unit_price,ordered_at\nr-1,EUR,tea,Tea,x,1,2026-01-31T12:00:00Z\n"

Name = Literal["gateway", "users", "orders", "worker"]
NAMES: tuple[Name, ...] = ("gateway", "users", "orders", "worker")
Who = Role | Literal["nobody"]
EVERYBODY: tuple[Who, ...] = ("user", "support", "admin", "nobody")


@dataclass(frozen=True)
class Credentials:
    """The credentials of a request: a token for the gateway, or for a service the headers that the gateway would
    send."""

    fixed: Mapping[str, str]
    gateway: ServiceTokens | None = None

    def headers(self) -> dict[str, str]:
        return {**self.fixed, **(_bearer(self.gateway.token()) if self.gateway else {})}


@dataclass(frozen=True)
class Service:
    """One service: its address, its document, and the credentials of each role."""

    url: str
    document: dict[str, Any]
    credentials: Mapping[Who, Credentials]


@dataclass(frozen=True)
class System:
    """`things` has existing ids, most of which belong to the user, by the last fixed part of the path before them."""

    services: Mapping[Name, Service]
    things: Mapping[str, str]


@dataclass(frozen=True)
class Places:
    """The servers that the services need."""

    databases: Mapping[str, str]
    broker: str
    redis: str
    uploads: str

    @property
    def common(self) -> dict[str, Any]:
        return {"environment": "development", "internal_token_secret": SECRET, "rabbitmq_url": self.broker}


@asynccontextmanager
async def running(backends: Backends, uploads: Path) -> AsyncIterator[System]:
    """Run the system on new databases and a virtual host of its own."""
    databases = await asyncio.to_thread(_databases, backends)
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(empty_vhost(backends.rabbitmq))
        apps, urls = await _start(stack, Places(databases, broker, backends.redis.url, uploads.as_uri()))
        await eventually(lambda: len(apps["gateway"].state.gateway.documents.by_service) == 3, PATIENCE_S)
        await eventually(lambda: bool(apps["gateway"].state.gateway.keys.keys), PATIENCE_S)
        people = await _people(urls["gateway"])
        issue = apps["users"].state.user_tokens.issue
        tokens = {who: _bearer(issue(people[who], new_id(), who)) for who in people}
        things = await _things(urls["gateway"], tokens["user"])
        nobody: dict[Who, Credentials] = {"nobody": Credentials({})}
        to_gateway = nobody | {who: Credentials(tokens[who]) for who in people}
        to_service = nobody | {who: _identified(people[who], who) for who in people}
        services = {
            name: Service(urls[name], apps[name].openapi(), to_gateway if name == "gateway" else to_service)
            for name in NAMES
        }
        yield System(services, things | {"users": str(people["user"])})


async def _start(stack: AsyncExitStack, places: Places) -> tuple[dict[Name, FastAPI], dict[Name, str]]:
    """Start all four services, and return them with their addresses."""
    unhurried: dict[str, dict[str, Any]] = {name: settings_of(name) | places.common for name in NAMES}
    cheap: dict[str, Any] = {**TUNING["users"], "argon2_memory_kib": 8}
    lasting: dict[str, Any] = {"access_token_ttl_s": 7200, "database_url": places.databases["users"]}
    users = users_app(UsersSettings(**unhurried["users"] | lasting), UsersTuning(**cheap))
    orders = orders_app(OrdersSettings(**unhurried["orders"], database_url=places.databases["orders"]))
    urls: dict[Name, str] = {"users": await _serve(stack, users), "orders": await _serve(stack, orders)}
    own: dict[str, Any] = {"orders_url": urls["orders"], "storage_url": places.uploads, "smtp_url": NOBODY}
    worker_settings = WorkerSettings(
        **unhurried["worker"], **own, **TUNING["worker"], database_url=places.databases["worker"]
    )
    worker = worker_app(worker_settings)
    urls["worker"] = await _serve(stack, worker)
    behind: dict[str, Any] = {"redis_url": places.redis, "jwks_url": f"{urls['users']}/.well-known/jwks.json"}
    settings = GatewaySettings(**unhurried["gateway"], **behind)
    gateway = gateway_app(settings, GatewayTuning(**TUNING["gateway"]), {str(name): url for name, url in urls.items()})
    urls["gateway"] = await _serve(stack, gateway)
    return {"gateway": gateway, "users": users, "orders": orders, "worker": worker}, urls


async def _serve(stack: AsyncExitStack, app: FastAPI) -> str:
    await stack.enter_async_context(app.router.lifespan_context(app))
    return f"http://127.0.0.1:{await stack.enter_async_context(listening(app))}"


def _databases(backends: Backends) -> dict[str, str]:
    made = {}
    for service in ("users", "orders", "worker"):
        made[service] = backends.postgres.create_database(f"{service}_{uuid4().hex[:12]}")
        migrate(service, made[service])
    return made


async def _people(url: str) -> dict[Role, UUID]:
    """Register a user for each role. The roles are those of their tokens."""
    roles: tuple[Role, ...] = ("user", "support", "admin")
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
        found = {}
        for role in roles:
            body = {"email": f"{role}-{uuid4().hex}@example.com", "name": role, "password": PASSWORD}
            answer = (await http.post("/v1/users", json=body)).raise_for_status()
            found[role] = UUID(answer.json()["id"])
        return found


async def _things(url: str, bearer: Mapping[str, str]) -> dict[str, str]:
    async with httpx.AsyncClient(base_url=url, headers=bearer, timeout=PATIENCE_S) as http:
        order = (await http.post("/v1/orders", json=ORDER)).raise_for_status().json()
        wanted = {"kind": "orders", "from": "2026-01-01", "to": "2026-12-31"}
        report = (await http.post("/v1/reports", json=wanted)).raise_for_status().json()
        file = {"file": ("orders.csv", CSV, "text/csv")}
        imported = (await http.post("/v1/imports", files=file)).raise_for_status().json()

        async def told() -> bool:
            return bool((await http.get("/v1/notifications")).raise_for_status().json()["items"])

        await eventually(told, PATIENCE_S)
        notification = (await http.get("/v1/notifications")).json()["items"][0]
    made = {"orders": order, "reports": report, "imports": imported, "notifications": notification}
    return {collection: thing["id"] for collection, thing in made.items()}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _identified(user_id: UUID, role: Role) -> Credentials:
    said = {"X-User-Id": str(user_id), "X-User-Role": role, "X-Session-Id": str(uuid4())}
    return Credentials(said, ServiceTokens(SECRET.get_secret_value(), "gateway"))
