"""One client's connection, with limits on what it may send and how long that may take.

uvicorn reads a head of any size, and waits for its end, or for the next piece of a body, as long as the client likes.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from uvicorn.server import ServerState

from shared.server.http1 import Http1Protocol


@dataclass(frozen=True)
class ConnectionLimits:
    """`head_s`: from a request's first byte to the end of its head. `body_s`: the time that a body always has, plus a
    second for every `body_rate` bytes received; time in which we do not read is not counted."""

    head_bytes: int = 32 * 1024
    headers: int = 100
    head_s: float = 10
    body_s: float = 20
    body_rate: int = 1024


_NOT_PLAIN = frozenset({b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"origin"})
"""Headers of requests that need the full path: with a body, or with a response that a browser checks more closely."""

LET_IN = "let_in"
"""Scope key: the gate has counted the request, and its handler must release it."""


class Gate(Protocol):
    """Interface with which an application decides whether to admit a request, before any work is done for it."""

    def is_shut(self, method: bytes, url: bytes) -> bool:
        """Return whether such a request is refused now."""

    def refusal(self, method: bytes, url: bytes) -> bytes:
        """Return the whole response to a refused request; it leaves the connection open."""

    def let_in(self) -> None:
        """Count a request that is given to the application, with `LET_IN` in its scope."""


class Ending(ServerState):
    """State that the connections of one server share: whether it is shutting down."""

    has_begun = False


class GuardedProtocol(Http1Protocol):
    """HTTP/1.1 with these limits; `check` must be called periodically."""

    limits = ConnectionLimits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._head_bytes = 0
        self._since: float | None = self.loop.time()
        """Since when the connection waits for expected data; None if it expects none."""
        self._gate: Gate | None = getattr(self.app, "gate", None)
        self._turned_away = False
        """The current message was answered as soon as its head had arrived."""

    def data_received(self, data: bytes) -> None:
        if self._awaits_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._awaits_head and self._head_bytes > self.limits.head_bytes and self._listens:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._since = self.loop.time()

    def check_head(self) -> None:
        if len(self.headers) > self.limits.headers or (
            self._head_bytes > self.limits.head_bytes and self._exact_head_bytes() > self.limits.head_bytes
        ):
            self.deny(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().check_head()

    def come_in(self) -> None:
        gate, method = self._gate, self.parser.get_method()
        shut = gate is not None and gate.is_shut(method, self.url)
        if gate is not None and shut and method == b"GET" and self._is_plain():
            self._turn_away(gate.refusal(method, self.url))
            return
        super().come_in()
        if gate is not None and not shut and not self.pipeline:  # pipelined requests may never be started
            gate.let_in()
            self.scope[LET_IN] = True  # type: ignore[literal-required]
        if self.ends:
            self.cycle.keep_alive = False

    @property
    def ends(self) -> bool:
        """Return whether the server is shutting down: the next response is the last of its connection."""
        return isinstance(self.server_state, Ending) and self.server_state.has_begun

    def on_message_complete(self) -> None:
        if self._offered:
            return
        self._head_bytes, self._since = 0, None
        if self._turned_away:
            self._turned_away, self._awaits_head = False, True
        else:
            super().on_message_complete()

    def _is_plain(self) -> bool:
        """Return whether the request may be answered early: it has no body, follows no other on this connection, and is
        followed by others."""
        return (
            self.parser.should_keep_alive()
            and not self._is_answering()
            and not self.pipeline
            and not self.flow.write_paused
            and not any(name in _NOT_PLAIN for name, _ in self.headers)
        )

    def _turn_away(self, answer: bytes) -> None:
        self._turned_away = True
        self.transport.write(answer)
        self.idle_since = self.loop.time()

    def check(self, now: float, interval_s: float) -> None:
        """Close the connection if its client is too slow or idle for too long. `interval_s`: since the last check."""
        if not self._listens or self.transport.is_closing():
            return
        if self._since is None:
            if now - self.idle_since > self.timeout_keep_alive and not self._is_answering():
                self.transport.close()
        elif self._waits_for_us():
            self._since += interval_s
        elif now - self._since > self._allowed_s():
            if self._awaits_head and not self._head_bytes:
                self.transport.close()  # silently, since the client has not requested anything
            else:
                self.refuse(HTTPStatus.REQUEST_TIMEOUT)

    def drain(self) -> None:
        """Make the current response the last, and announce that in it. So are those that begin while
        `Ending.has_begun`."""
        if self._is_answering() and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def _waits_for_us(self) -> bool:
        if self._awaits_head:
            return self._is_answering()
        return self.flow.read_paused or self.cycle.waiting_for_100_continue

    def _allowed_s(self) -> float:
        if self._awaits_head:
            return self.limits.head_s
        return self.limits.body_s + self._body_bytes / self.limits.body_rate

    def _exact_head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)


def sweep(connections: Iterable[asyncio.Protocol], now: float, interval_s: float) -> None:
    """Check every connection of a server."""
    for each in list(connections):
        if isinstance(each, GuardedProtocol):
            each.check(now, interval_s)
