"""A gateway in this process, with transports in memory instead of sockets, and stub services behind it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from pyqwest import HTTPTransport

from services.gateway.auth.jwks import parse_key_set
from services.gateway.catalog.catalog import load
from services.gateway.container import Gateway, build, redis_client
from services.gateway.dashboard.fast_path import DashboardFastPath
from services.gateway.limits.load_shedding import LoadShedder
from services.gateway.main import create_app
from services.gateway.settings import DEFAULTS, Settings
from services.gateway.upstream.backends import Backends
from services.gateway.upstream.timers import Timers
from shared.http.tokens import ServiceTokens
from shared.server.connection import Ending
from shared.server.fast_path import Exchange, FastPathProtocol
from tools.lab.bench.contestants import SECRET, Audience
from tools.lab.bench.stub import Connection, State

DATE = b"Sun, 29 Nov 2026 12:00:00 GMT"
END = b"}}}"
"""The last bytes of a dashboard."""


class WrongAnswer(Exception):
    """A request was not answered with a dashboard, or took a different path than the measured one."""


class MemoryTransport(asyncio.Transport):
    """A transport to a protocol of the same process, which reads in the next iteration of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, own: asyncio.Protocol, peer: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = loop
        self._own = own
        self._peer = peer
        self._closed = False

    def write(self, data: Any) -> None:
        self._loop.call_soon(self._peer.data_received, data)

    def is_closing(self) -> bool:
        return self._closed

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.call_soon(self._own.connection_lost, None)

    close = abort


class MemoryLoop(uvloop.Loop):
    """Connects to stub services in this process, whatever the address."""

    async def create_connection(self, protocol_factory: Callable[[], Any], *_: Any, **__: Any) -> Any:
        protocol, service = protocol_factory(), Connection(State(b"{}"))
        transport = MemoryTransport(self, protocol, service)
        service.connection_made(MemoryTransport(self, service, protocol))
        protocol.connection_made(transport)
        return transport, protocol


class ClientTransport(asyncio.Transport):
    """A transport to a client, which counts the dashboards that arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0

    def write(self, data: Any) -> None:
        if not data.startswith((b"HTTP/1.1 200 ", b"{")):
            raise WrongAnswer(data)
        self.answers += data.endswith(END)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        raise WrongAnswer("the connection was closed")

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Callers:
    """Concurrent clients of one gateway, each with its own connection."""

    def __init__(self, connections: Sequence[FastPathProtocol], transport: ClientTransport) -> None:
        self._connections = connections
        self._transport = transport

    async def ask(self, requests: Sequence[bytes]) -> None:
        """Send one request from each caller; return when all have their dashboards."""
        awaited = self._transport.answers + len(self._connections)
        for connection, request in zip(self._connections, requests, strict=False):
            connection.data_received(request)
        while self._transport.answers < awaited:  # noqa: ASYNC110  an event would cost what is not to be measured
            await asyncio.sleep(0)

    async def check(self, requests: Sequence[bytes], *, fast: bool) -> None:
        """Ask twice, so that the callers are known. Raises `WrongAnswer` if the second request took the other path."""
        await self.ask(requests)
        await self.ask(requests)
        if any(isinstance(connection.cycle, Exchange) != fast for connection in self._connections):
            raise WrongAnswer(f"in the protocol: {not fast}")


class InnerGateway:
    """The gateway without its background tasks. Needs a `MemoryLoop`."""

    def __init__(self, gateway: Gateway, settings: Settings) -> None:
        self.app: FastAPI = create_app(settings)
        self.gateway = gateway
        self.app.state.gateway = self.gateway
        self._fast_path = DashboardFastPath(
            settings,
            DEFAULTS,
            LoadShedder(settings.shed_most_in_hand, DEFAULTS),
            self.gateway.authenticator,
            self.gateway.limits,
            self.gateway.cache,
        )
        self._fast_path.use(self.gateway.reader, self.gateway.catalog.panels, ())
        self._config = uvicorn.Config(
            self.app, lifespan="off", ws="none", log_config=None, access_log=False, proxy_headers=False
        )
        self._config.load()
        self._state = Ending()
        self._state.default_headers = [(b"date", DATE)]

    def callers(self, count: int, *, fast: bool) -> Callers:
        """Return this many callers, whose requests are answered in the protocol or by the application."""
        self.app.fast_path = self._fast_path if fast else None  # type: ignore[attr-defined]  # read by each connection
        transport = ClientTransport()
        connections = [FastPathProtocol(self._config, self._state, {}) for _ in range(count)]
        for connection in connections:
            connection.connection_made(transport)
        return Callers(connections, transport)


def inner_settings() -> Settings:
    """Return the settings of a gateway in development, with a limit that is never reached."""
    return Settings(environment="development", internal_token_secret=SECRET, limit_read="1000000000/minute")


def request_heads(audience: Audience, more: str = "") -> list[bytes]:
    """Return a dashboard request from each user; `more` has further header lines."""
    return [
        f"GET {each.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {each.headers['Authorization']}\r\n{more}\r\n".encode()
        for each in audience.with_tokens({})
    ]


async def inner_gateway(audience: Audience, settings: Settings) -> InnerGateway:
    """Return a gateway that knows the keys of these users, and receives changes."""
    transport, timers = HTTPTransport(), Timers()
    backends = Backends(transport, transport, ServiceTokens(SECRET, "gateway"), settings, DEFAULTS, timers)
    catalog = load(settings.panels_path)
    opened = await backends.use(catalog.services, catalog.panels)
    redis = redis_client(settings.redis_url, DEFAULTS)
    gateway = build(settings, DEFAULTS, catalog, transport, redis, backends, opened, timers)
    gateway.keys.keys = parse_key_set(audience.jwks.encode())
    gateway.cache.enable()
    return InnerGateway(gateway, settings)
