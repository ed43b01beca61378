"""What the tests that every service has in common must know of one, and how they run and call it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import sqlalchemy as sa
from fastapi import FastAPI

from shared.contracts.panels import PATH as PANELS
from shared.db.engine import DatabaseSettings
from shared.http.identity import GATEWAY, USER_ID_HEADER, USER_ROLE_HEADER
from shared.http.tokens import Role, ServiceTokens

NO_BROKER = "amqp://guest:guest@127.0.0.1:1/"
"""Nothing listens there: events stay in the outbox, where a test can see them."""

NOTHING: Mapping[str, str] = {}

Route = tuple[str, str]
"""Its method and path."""


class Somebody(httpx.AsyncClient):
    """The gateway, calling for one user; `has` is what this user already has there, by name."""

    def __init__(self, app: FastAPI, user_id: UUID | None = None, role: Role = "user", **has: str) -> None:
        self.user_id = user_id or uuid4()
        self.has = has
        tokens = ServiceTokens(app.state.settings.internal_token_secret.get_secret_value(), GATEWAY)

        def sign(request: httpx.Request) -> httpx.Request:
            request.headers["Authorization"] = f"Bearer {tokens.token()}"
            return request

        super().__init__(
            transport=httpx.ASGITransport(app),
            base_url="http://service",
            headers={USER_ID_HEADER: str(self.user_id), USER_ROLE_HEADER: role},
            auth=sign,
        )


@dataclass(frozen=True)
class Call:
    """A request to a service; `request` is what `httpx` takes.

    `pooled` is whether it takes a connection from the pool: a download has one of its own.
    """

    method: str
    path: str
    request: Mapping[str, Any] = field(default_factory=dict)
    role: Role | None = None
    pooled: bool = True

    async def by(self, somebody: Somebody) -> httpx.Response:
        request = dict(self.request)
        role = {USER_ROLE_HEADER: self.role} if self.role else {}
        headers = role | request.pop("headers", {})
        return await somebody.request(self.method, self.path, headers=headers, **request)


@dataclass(frozen=True)
class Thing:
    """Something that belongs to one user. `insert` gives user $1 one with the id $2.

    `looks` is whether the service asks its database before it says that another's does not exist.
    """

    table: str
    insert: str
    calls: Sequence[Call]
    """A `{}` in a path is the thing's id."""
    looks: bool = True


@dataclass(frozen=True)
class Service:
    """`settings(database_url, rabbitmq_url, **more)`; `settle(app)` is somebody with all that the calls need."""

    name: str
    metadata: sa.MetaData
    create_app: Callable[[Any], FastAPI]
    settings: Callable[..., DatabaseSettings]
    settle: Callable[[FastAPI], Awaitable[Somebody]]
    calls: Callable[[Somebody, Mapping[str, str]], Sequence[Call]]
    """Every route that asks the database, called by somebody; the panels with these headers."""
    read: Call
    """Reads what is one's own."""
    write: Callable[[], Call]
    """Makes something new each time."""
    panels: Sequence[str]
    taking_json: Sequence[Route]
    lists: Sequence[str]
    own: Sequence[str]
    """The lists that show what somebody has made."""
    naming: Sequence[Route]
    """Routes with the name of something, `{}`, in their path."""
    guarded: Sequence[Route]
    things: Sequence[Thing]
    wrong: Callable[[], Iterator[tuple[str, str, Any]]] = lambda: iter(())
    """Bodies with a value that its field cannot have: the path they are posted to, the field's name, the body."""
    written: int = 1
    """The events and tasks of one `write`."""
    needs_broker: bool = False
    """Else it is only degraded without one, and its events wait in the outbox."""

    def panels_of(self, somebody: Somebody, headers: Mapping[str, str] = NOTHING) -> list[Call]:
        ids = [str(somebody.user_id)]
        one = {"json": {"ids": ids}, "headers": dict(headers)}
        all_of_them = {"json": {"panels": self.panels, "ids": ids}, "headers": dict(headers)}
        return [
            Call("POST", PANELS, all_of_them),
            *(Call("POST", f"{PANELS}/{panel}", one) for panel in self.panels),
        ]

    @asynccontextmanager
    async def running(self, database_url: str, rabbitmq_url: str = NO_BROKER, **more: Any) -> AsyncIterator[FastAPI]:
        app = self.create_app(self.settings(database_url, rabbitmq_url, **more))
        async with app.router.lifespan_context(app):
            yield app

    def __str__(self) -> str:
        return self.name
