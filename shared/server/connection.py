"""One client's connection, with bounds on what it may send and how long it may take to.

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
    """`head_s`: from a request's first byte to the end of its head. `body_s`: that long a body may take in any case,
    and a second more for every `body_rate` bytes that have come; time in which we do not read is not counted."""

    head_bytes: int = 32 * 1024
    headers: int = 100
    head_s: float = 10
    body_s: float = 20
    body_rate: int = 1024


_NOT_PLAIN = frozenset({b"content-length", b"transfer-encoding", b"upgrade", b"expect", b"origin"})
"""Headers of requests that are more than a head, or whose answer a browser would look at more closely."""

LET_IN = "let_in"
"""There, in a request's scope, when the gate has counted it: whoever answers it must count it out."""


class Gate(Protocol):
    """Where an application decides whether a request comes in, before anything is made for it."""

    def is_shut(self, method: bytes, url: bytes) -> bool:
        """Whether such a request is refused now."""

    def refusal(self, method: bytes, url: bytes) -> bytes:
        """The whole answer to one that is; it leaves the connection open."""

    def let_in(self) -> None:
        """Count one in that will be given to the application, with `LET_IN` in its scope."""


class Ending(ServerState):
    """What the connections of one server share: whether it is about to end."""

    has_begun = False


class GuardedProtocol(Http1Protocol):
    """HTTP/1.1 with those bounds; `check` must be called now and then."""

    limits = ConnectionLimits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._head_bytes = 0
        self._since: float | None = self.loop.time()
        """When that began which has not come yet; None when nothing is expected."""
        self._gate: Gate | None = getattr(self.app, "gate", None)
        self._turned_away = False
        """The message that is being read was answered as soon as its head had come."""

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
        if gate is not None and not shut and not self.pipeline:  # what is in the pipeline may never be begun
            gate.let_in()
            self.scope[LET_IN] = True  # type: ignore[literal-required]
        if self.ends:
            self.cycle.keep_alive = False

    @property
    def ends(self) -> bool:
        """Whether the server is about to end: the next answer is the last of its connection."""
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
        """Whether the request may be answered before it is at its end: it has no body, follows no other on this
        connection, and is followed by others."""
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
        """End the connection if its client takes or is idle for too long. `interval_s`: since the last time."""
        if not self._listens or self.transport.is_closing():
            return
        if self._since is None:
            if now - self.idle_since > self.timeout_keep_alive and not self._is_answering():
                self.transport.close()
        elif self._waits_for_us():
            self._since += interval_s
        elif now - self._since > self._allowed_s():
            if self._awaits_head and not self._head_bytes:
                self.transport.close()  # without a word, which the client has not asked for
            else:
                self.refuse(HTTPStatus.REQUEST_TIMEOUT)

    def drain(self) -> None:
        """The answer under way is the last, and says so. So are those that begin while `Ending.has_begun`."""
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
