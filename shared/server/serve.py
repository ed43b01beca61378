"""Runs a service: one process, one event loop, one or two listeners, a graceful shutdown on SIGTERM."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.types import ASGIApp

from shared.config.removed import RENAMED
from shared.config.settings import SUFFIX, ServiceSettings, obsolete
from shared.observability import logs, telemetry, tracing
from shared.observability.logs import get_logger
from shared.server.background import Background
from shared.server.connection import Ending, GuardedProtocol, sweep
from shared.server.fast_path import FastPathProtocol
from shared.server.garbage import IdleCollector, freeze_heap

log = get_logger(__name__)

KEEP_ALIVE_S = 75
"""Longer than clients keep an idle connection, so that they close it first."""

ACCEPTS_A_TURN = 16
"""libuv accepts one connection per loop iteration from each listening socket. A busy loop has twenty iterations a
second: it listens on this many copies of one socket, or new clients would wait for seconds."""


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to `run`, drops clients that send too slowly or do not read their responses,
    and answers every request at shutdown: `drain_s` is how long it keeps reading from connected clients."""

    TICK_S = 0.1
    """uvicorn's."""
    CHECK_EVERY = 10
    """Ticks."""
    PEER_PATIENCE_MS = 60_000
    LOOK_EVERY_S = 0.02
    _due: float
    """When the next tick is due."""

    def __init__(
        self, config: uvicorn.Config, drain_s: float = 0.2, on_startup: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(config)
        self._on_startup = on_startup
        self.server_state = self._ending = Ending()
        self._drain_s = drain_s

    async def on_tick(self, counter: int) -> bool:
        if counter:  # with a separate clock: the loop's clock stands still while it works
            telemetry.LOOP_LAG.observe(max(0.0, time.monotonic() - self._due))
        if counter % self.CHECK_EVERY == 0:
            sweep(self.server_state.connections, asyncio.get_running_loop().time(), self.CHECK_EVERY * self.TICK_S)
        ended = await super().on_tick(counter)
        self._due = time.monotonic() + self.TICK_S
        return ended

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_startup()
        await self._listen_more()
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted connections inherit it
            for listening in (one for server in self.servers for one in server.sockets):
                with socket.socket(fileno=os.dup(listening.fileno())) as same:
                    same.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.PEER_PATIENCE_MS)

    async def _listen_more(self) -> None:
        loop = asyncio.get_running_loop()
        for listening in [one for server in self.servers for one in server.sockets]:
            for _ in range(ACCEPTS_A_TURN - 1):
                copy = socket.socket(fileno=os.dup(listening.fileno()))
                self.servers.append(await loop.create_server(self._protocol, sock=copy, backlog=self.config.backlog))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn would reset new connections, and close idle ones while a request may be on its way."""
        self._ending.has_begun = True
        await self._stop_listening()
        for connection in list(self.server_state.connections):
            if isinstance(connection, GuardedProtocol):
                connection.drain()
        for _ in range(int(self._drain_s / self.LOOK_EVERY_S)):
            if not self.server_state.connections or self.force_exit:
                break
            await asyncio.sleep(self.LOOK_EVERY_S)
        await super().shutdown(sockets)

    async def _stop_listening(self) -> None:
        """Close the listeners, and accept the connections that are already established."""
        loop = asyncio.get_running_loop()
        waiting: list[socket.socket] = []
        for server in self.servers:
            listeners = [socket.socket(fileno=os.dup(one.fileno())) for one in server.sockets]
            server.close()
            for listener in listeners:
                waiting += _accept_all(listener)
        for one in waiting:
            await loop.connect_accepted_socket(self._protocol, one)

    def _protocol(self) -> asyncio.Protocol:
        kind = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def run(
    service: str,
    app: FastAPI,
    settings: ServiceSettings,
    internal: tuple[ASGIApp, int] | None = None,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> None:
    """Serve `app` until SIGTERM or SIGINT; `internal` is a second application with its own port.

    Exits with status 1 and one line when a background task of `app.state.background` has failed permanently.
    """
    logs.configure(service, settings)
    _warn_of_removed_settings(service)
    servers = [_server(app, settings, settings.port, lifespan="on")]
    if internal:
        servers.append(_server(internal[0], settings, internal[1], lifespan="off"))
    freeze_heap()  # imported modules
    with exporting_spans(service, settings), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(servers, app))
    background: Background | None = getattr(app.state, "background", None)
    if background and background.failure:
        sys.exit(f"{service}: {background.failure}")
    if not servers[0].started:
        sys.exit(f"{service}: failed to start; see the log")


def _warn_of_removed_settings(service: str) -> None:
    for name in obsolete(os.environ, service):
        if new_name := RENAMED.get(name.removesuffix(SUFFIX)):
            log.warning("this setting has a new name", setting=name, new_name=new_name)
        else:
            log.warning("this setting no longer exists and is ignored", setting=name)


def config_of(app: ASGIApp, protocol: type[FastPathProtocol] = FastPathProtocol, **more: Any) -> uvicorn.Config:
    """Return uvicorn's configuration for an application. It may not wrap the application: the protocol looks for its
    fast path."""
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        **more,
    )


def _server(app: ASGIApp, settings: ServiceSettings, port: int, lifespan: str) -> Server:
    return Server(
        config_of(
            app,
            host=settings.host,
            port=port,
            lifespan=lifespan,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(settings.shutdown_grace_s),
        ),
        settings.drain_s,
        on_startup=freeze_heap,
    )


def _accept_all(listener: socket.socket) -> list[socket.socket]:
    """Accept all pending connections; afterwards new clients cannot connect."""
    accepted = []
    with listener:
        listener.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                one, _ = listener.accept()
                one.setblocking(False)
                accepted.append(one)
    return accepted


async def _serve(servers: list[Server], app: FastAPI) -> None:
    def stop() -> None:
        for hook in getattr(app.state, "stopping", ()):
            hook()
        for server in servers:
            server.force_exit = server.should_exit
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    collecting = asyncio.create_task(IdleCollector().run())
    main, *others = [asyncio.create_task(server.serve()) for server in servers]
    await main
    stop()
    await asyncio.gather(*others)
    collecting.cancel()


@contextlib.contextmanager
def exporting_spans(service: str, settings: ServiceSettings) -> Iterator[None]:
    """Within the block, spans of the process go to the collector, if there is one."""
    if not settings.otel_exporter_otlp_endpoint:
        yield
        return
    from shared.observability.trace_export import SpanQueue  # what it imports takes 0.1 s and 10 MB

    outbox = SpanQueue(service, settings.otel_exporter_otlp_endpoint)
    try:
        with tracing.recording(outbox.tracer, settings.trace_sample):
            yield
    finally:
        outbox.close()
