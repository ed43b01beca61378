"""Runs a service: one process, one event loop, one or two listeners, an orderly end on SIGTERM."""

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

from shared.config import removed
from shared.config.secret_files import SUFFIX
from shared.config.settings import ServiceSettings
from shared.observability import logs, telemetry, tracing
from shared.observability.logs import get_logger
from shared.server.background import Background
from shared.server.connection import Ending, GuardedProtocol, sweep
from shared.server.fast_path import FastPathProtocol
from shared.server.garbage import IdleCollector, freeze_heap

log = get_logger(__name__)

KEEP_ALIVE_S = 75
"""Longer than clients keep an idle connection, so that it is they who close it."""

ACCEPTS_A_TURN = 16
"""libuv accepts one connection in a turn of the event loop, from each socket that listens. A busy loop has twenty turns
a second: it listens on so many copies of one socket, or who connects would wait for seconds."""


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to `run`, lets go of peers that are too slow, or take nothing of what they
    were sent, and at its end leaves no request unheard: `drain_s` is how long it listens to who is connected."""

    TICK_S = 0.1
    """uvicorn's."""
    CHECK_EVERY = 10
    """Ticks."""
    PEER_PATIENCE_MS = 60_000
    LOOK_EVERY_S = 0.02
    _due: float
    """When the next tick should come."""

    def __init__(
        self, config: uvicorn.Config, drain_s: float = 0.2, on_startup: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(config)
        self._on_startup = on_startup
        self.server_state = self._ending = Ending()
        self._drain_s = drain_s

    async def on_tick(self, counter: int) -> bool:
        if counter:  # by a clock of its own: the loop's stands still while it works
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
        """uvicorn would reset who has just connected, and close idle connections while a request may be on its way."""
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
        """Closes the listeners, and takes in those who have connected to them."""
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

    Exits with status 1 and one line when a background task of `app.state.background` has failed.
    """
    logs.configure(service, settings)
    _warn_of_removed_settings(service)
    servers = [_server(app, settings, settings.port, lifespan="on")]
    if internal:
        servers.append(_server(internal[0], settings, internal[1], lifespan="off"))
    freeze_heap()  # what was imported
    with exporting_spans(service, settings), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(servers, app))
    background: Background | None = getattr(app.state, "background", None)
    if background and background.failure:
        sys.exit(f"{service}: {background.failure}")
    if not servers[0].started:
        sys.exit(f"{service}: did not start; the log says why")


def _warn_of_removed_settings(service: str) -> None:
    for name in removed.set_in(os.environ, service):
        if new_name := removed.RENAMED.get(name.removesuffix(SUFFIX)):
            log.warning("this setting has a new name", setting=name, new_name=new_name)
        else:
            log.warning("this setting no longer exists and is ignored", setting=name)


def config_of(app: ASGIApp, protocol: type[FastPathProtocol] = FastPathProtocol, **more: Any) -> uvicorn.Config:
    """How uvicorn serves an application here. It may not wrap the application: the protocol looks for its fast path."""
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
    """Who waits to be accepted; then nobody can connect any more."""
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
        with tracing.recording(outbox.add, settings.trace_sample):
            yield
    finally:
        outbox.close()
