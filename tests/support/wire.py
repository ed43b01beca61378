"""A connection without a socket: the protocol object, and all that it writes."""

import asyncio
import re
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from shared.server.fast_path import FastPathProtocol

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def statuses(written: bytes) -> tuple[int, ...]:
    """The statuses of the answers in it, whose bodies must not look like status lines."""
    return tuple(int(found) for found in _STATUS.findall(written))


async def livez(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001  as ASGI has it
    """Answers as the probes do, without a body."""
    status = 200 if scope["method"] in ("GET", "HEAD") else 405
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


class Transport(asyncio.Transport):
    """Keeps what is written. It is `over` when the client sees no more."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.over = False
        self.was_reset = False
        self.reading = True
        self._closing = False

    def write(self, data: Any) -> None:
        assert not self.over, "nothing is written after the end"
        self.written += data

    def close(self) -> None:
        self.over = self._closing = True

    def abort(self) -> None:
        self.over = self._closing = self.was_reset = True

    def write_eof(self) -> None:
        self.over = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Wire:
    """One client and the server's end of its connection."""

    def __init__(self, app: Any = livez, kind: type[FastPathProtocol] = FastPathProtocol) -> None:
        config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
        self.state = ServerState()
        self.transport = Transport()
        self.protocol = kind(config, self.state, {})
        self.protocol.connection_made(self.transport)

    async def send(self, data: bytes) -> None:
        """One read of the server, and all that it does then."""
        self.receive(data)
        await self.settle()

    def receive(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.protocol.data_received(data)

    async def settle(self) -> None:
        while self.state.tasks:
            await asyncio.wait(list(self.state.tasks))

    def leave(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
        self.protocol.connection_lost(None)

    @property
    def answers(self) -> tuple[int, ...]:
        return statuses(bytes(self.transport.written))
