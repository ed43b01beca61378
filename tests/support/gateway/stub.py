"""A stub of a service: a real HTTP/1.1 server on its own port, which can misbehave."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from shared.contracts.internal_api import REVOCATIONS_PATH as REVOCATIONS
from shared.http.api_keys import LOOKUP_PATH

PANEL_DATA: dict[str, Any] = {
    "user": {"id": "1", "email": "ada@example.com", "name": "Ada", "avatar_url": None, "created_at": "2026-01-01"},
    "orders": [{"id": "1", "status": "created", "total": 4999, "currency": "EUR"}],
    "notifications": [{"id": "1", "kind": "order.created", "title": "Thanks", "read": False}],
    "analytics": {"orders": 1, "items": 2, "revenue": {"EUR": 4999}},
}


PANELS_PATH = "/internal/panels"
GATEWAYS_OWN = ("/openapi.json", "/.well-known/jwks.json", REVOCATIONS, LOOKUP_PATH)


@dataclass
class Received:
    """A received request; only the size of a large body is stored."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    size: int = 0

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @cached_property
    def ids(self) -> list[str]:
        """The users whose panels are requested."""
        ids: list[str] = json.loads(self.body)["ids"]
        return ids

    @cached_property
    def panels(self) -> list[str]:
        """The requested panels: one by path, or several by body; none for other requests."""
        if self.path == PANELS_PATH:
            panels: list[str] = json.loads(self.body)["panels"]
            return panels
        return [self.path.rsplit("/", 1)[-1]] if self.path.startswith(f"{PANELS_PATH}/") else []


@dataclass
class Exchange:
    """One request, and the methods to answer it."""

    request: Received
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self, body: bytes, status: int = 200, headers: str = "Content-Type: application/json\r\n") -> None:
        head = f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        await self.raw(head.encode() + body)

    async def reply_items(self, items: Mapping[str, Mapping[str, Any]]) -> None:
        """Answer all panels asked for: with these items by panel and user, and with `PANEL_DATA` for other panels.

        Users whom a panel has no item for are missing.
        """
        await self.reply_panels({panel: self.panel(panel, items.get(panel)) for panel in self.request.panels})

    def panel(self, panel: str, items: Mapping[str, Any] | None = None) -> bytes:
        """Return the response for one panel as JSON."""
        ids = self.request.ids
        found = dict.fromkeys(ids, PANEL_DATA[panel]) if items is None else items
        return json.dumps({"items": found, "missing": [user_id for user_id in ids if user_id not in found]}).encode()

    async def reply_panels(self, panels: Mapping[str, bytes]) -> None:
        """Answer with the JSON of each panel, in the form of the request."""
        if self.request.path != PANELS_PATH:
            (body,) = panels.values()
        else:
            body = b'{"panels":{%s}}' % b",".join(b'"%s":%s' % (name.encode(), part) for name, part in panels.items())
        await self.reply(body)

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


Behaviour = Callable[[Exchange], Awaitable[None]]


async def answer_panel(exchange: Exchange) -> None:
    """Answer all requested panels."""
    await exchange.reply_items({})


async def answer_late(exchange: Exchange) -> None:
    await asyncio.sleep(0.2)
    await answer_panel(exchange)


async def hang(exchange: Exchange) -> None:
    await exchange.reader.read()


async def trickle(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n")
    for _ in range(5000):
        await exchange.raw(b" ")
        await asyncio.sleep(0.02)


async def reset(exchange: Exchange) -> None:
    exchange.writer.transport.abort()


async def cut_off(exchange: Exchange) -> None:
    await exchange.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"items"')
    exchange.writer.close()


async def not_http(exchange: Exchange) -> None:
    await exchange.raw(b"\x00\x01\x02 rubbish\r\n\r\n")
    exchange.writer.close()


@dataclass(frozen=True)
class Reply:
    """Answers a request with this body. In a call for several panels it answers only its own panel; a status other than
    200 is then the panel's error."""

    body: bytes
    status: int = 200

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.reply(self.body, self.status)

    @property
    def panel(self) -> bytes:
        return self.body if self.status == 200 else b'{"error":"internal"}'


def replies(body: bytes, status: int = 200) -> Reply:
    return Reply(body, status)


async def answer_each(exchange: Exchange, own: Mapping[str, Reply]) -> None:
    """Answer the requested panels, some of them with a `Reply`. If all of them fail, so does the call."""
    panels = exchange.request.panels
    if all(panel in own and own[panel].status != 200 for panel in panels):
        await own[panels[0]](exchange)
    else:
        parts = {panel: own[panel].panel if panel in own else exchange.panel(panel) for panel in panels}
        await exchange.reply_panels(parts)


@dataclass
class StubService:
    """A stub with a behaviour for each path (`*` for all others, but not for what the gateway asks on its own); stores
    its requests, and counts its open connections."""

    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    active: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[Received]:
        """Return the requests for a user, without those of the gateway itself."""
        return [request for request in self.received if request.path not in GATEWAYS_OWN]

    def queries(self, panel: str) -> list[Received]:
        """Return the calls for this panel."""
        return [request for request in self.received if panel in request.panels]

    def last(self, target: str) -> Received:
        return next(request for request in reversed(self.received) if request.target.startswith(target))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["StubService"]:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1000)
        try:
            yield self
        finally:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                request = await _read(reader)
                self.received.append(request)
                self.active += 1
                try:
                    await self._behaviour(request)(Exchange(request, reader, writer))
                finally:
                    self.active -= 1
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    def _behaviour(self, request: Received) -> Behaviour:
        if not request.path.startswith(PANELS_PATH):
            default = "" if request.path in GATEWAYS_OWN else "*"
            return self.behaviours.get(request.path) or self.behaviours.get(default) or replies(b"{}")
        chosen = {panel: self.behaviours[panel] for panel in request.panels if panel in self.behaviours}
        replying = {panel: each for panel, each in chosen.items() if isinstance(each, Reply)}
        alone = (each for each in chosen.values() if not isinstance(each, Reply))
        return next(alone, lambda exchange: answer_each(exchange, replying))


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    request = Received(method, target, [(n, v.strip()) for n, _, v in (line.partition(":") for line in head[1:-2])])
    if lengths := request.values("content-length"):
        await _read_counted(reader, request, int(lengths[0]))
    elif "chunked" in request.values("transfer-encoding"):
        while (size := int(await reader.readline(), 16)) > 0:
            await _read_counted(reader, request, size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    return request


async def _read_counted(reader: asyncio.StreamReader, request: Received, size: int) -> None:
    while size > 0:
        data = await reader.readexactly(min(size, 65536))
        size -= len(data)
        request.size += len(data)
        if request.size <= 65536:
            request.body += data
