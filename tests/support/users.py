"""The users service in this process, called as the gateway calls it: with its service token, and for a user."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
from fastapi import FastAPI
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from services.users.main import create_app
from services.users.settings import Settings
from shared.contracts.internal_api import ADDRESSES_PATH, LINKS_PATH, Purpose
from shared.http.identity import SESSION_ID_HEADER, USER_ID_HEADER, USER_ROLE_HEADER
from shared.http.tokens import Role, ServiceTokens
from tests.support.tuned_service import tuning_from, tuning_in

NO_BROKER = "amqp://guest:guest@127.0.0.1:1/"
"""Nobody listens there: events stay in the outbox, where a test can see them."""
SECRET = SecretStr("a secret that only these tests know")
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Person:
    """Someone registered, and perhaps logged in."""

    id: UUID
    email: str
    role: Role = "user"
    session_id: UUID | None = None
    refresh_token: str = ""

    def having(self, role: Role) -> "Person":
        """The same person, whom the gateway says to have this role."""
        return replace(self, role=role)

    @property
    def headers(self) -> dict[str, str]:
        session = {SESSION_ID_HEADER: str(self.session_id)} if self.session_id else {}
        return {USER_ID_HEADER: str(self.id), USER_ROLE_HEADER: self.role, **session}


class Gateway:
    """`http` sends the gateway's service token with every request. The worker's requests have its own."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self._worker = ServiceTokens(SECRET.get_secret_value(), "worker")

    async def as_worker(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._worker.token()}"}
        return await self.http.request(method, path, headers=headers, **request)

    async def link(self, person: Person, purpose: Purpose = "verify", email: str = "") -> httpx.Response:
        """Ask for a link, as the mail job does."""
        body = {"user_id": str(person.id), "purpose": purpose, "email": email or person.email}
        return await self.as_worker("POST", LINKS_PATH, json=body)

    async def token(self, person: Person, purpose: Purpose = "verify", email: str = "") -> str:
        """Return the token of a new link."""
        url: str = (await self.link(person, purpose, email)).raise_for_status().json()["url"]
        return url.rpartition("?token=")[2]

    async def use(self, token: str, by: Person | None = None) -> httpx.Response:
        """Verify an address with a token."""
        headers = by.headers if by else {}
        return await self.http.post("/v1/email-verifications", json={"token": token}, headers=headers)

    async def verified(self, person: Person) -> Person:
        """Verify the person's address in the person's session, if there is one."""
        (await self.use(await self.token(person), person if person.session_id else None)).raise_for_status()
        return person

    async def address(self, person: Person) -> httpx.Response:
        return await self.as_worker("GET", f"{ADDRESSES_PATH}/{person.id}")

    async def register(self, name: str = "Ada") -> Person:
        email = f"{uuid4().hex}@example.com"
        answer = await self.http.post("/v1/users", json={"email": email, "name": name, "password": PASSWORD})
        answer.raise_for_status()
        return Person(UUID(answer.json()["id"]), email)

    async def login(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return await self.http.post("/v1/tokens", data={"username": email, "password": password})

    async def logged_in(self, person: Person) -> Person:
        return await self.logged_in_with(person, PASSWORD)

    async def logged_in_with(self, person: Person, password: str) -> Person:
        answer = (await self.login(person.email, password)).raise_for_status().json()
        claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
        return replace(person, session_id=UUID(claims["sid"]), refresh_token=answer["refresh_token"])

    async def newcomer(self) -> Person:
        """Someone newly registered and logged in."""
        return await self.logged_in(await self.register())

    async def refresh(self, token: str) -> httpx.Response:
        return await self.http.post("/v1/tokens/refresh", json={"refresh_token": token})

    async def call(self, person: Person, method: str, path: str, **request: Any) -> httpx.Response:
        headers = person.headers | request.pop("headers", {})
        return await self.http.request(method, path, headers=headers, **request)


class Tuned(Settings):
    """Settings and tuning in one, as tests name them: what is no setting is a field of `Tuning`."""

    model_config = SettingsConfigDict(extra="allow")


def app_of(settings: Settings) -> FastAPI:
    return create_app(settings, tuning_from("users", tuning_in(settings)))


def settings_for(database_url: str, rabbitmq_url: str = NO_BROKER, **more: Any) -> Settings:
    """Hashing costs next to nothing here."""
    return Tuned(
        environment="development",
        internal_token_secret=SECRET,
        database_url=database_url,
        rabbitmq_url=rabbitmq_url,
        argon2_time_cost=1,
        argon2_memory_kib=8,
        argon2_parallelism=1,
        **more,
    )


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[FastAPI, Gateway]]:
    app = app_of(settings)
    tokens = ServiceTokens(SECRET.get_secret_value(), "gateway")

    def sign(request: httpx.Request) -> httpx.Request:
        request.headers.setdefault("Authorization", f"Bearer {tokens.token()}")
        return request

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://users", auth=sign) as http,
    ):
        yield app, Gateway(http)
