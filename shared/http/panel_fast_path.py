"""The gateway's panel queries, answered inside the protocol: one task per call, no ASGI scope, one write.

Unusual requests go to the application before they are counted: another caller than the gateway, a recorded trace, an
invalid query. So does a call whose panels could not be read; it is not repeated.
"""

import time

from starlette.datastructures import State

from shared.contracts.panels import DEADLINE_HEADER, PATH, PanelsQuery, deadline_s
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.http.application import BEGUN, MAX_BODY_BYTES, STARTED, is_request_id
from shared.http.identity import GATEWAY
from shared.http.panel_route import FAILED, Panels
from shared.http.tokens import InvalidToken, ServiceTokens
from shared.observability import telemetry, tracing
from shared.observability.telemetry import Origin, Trace
from shared.server.fast_path import Exchange, FastPathProtocol

_URL, _DEADLINE = PATH.encode(), DEADLINE_HEADER.lower().encode()
_HEAD = b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\ncontent-type: application/json\r\nx-request-id: %s\r\n%s\r\n"


class PanelsExchange(Exchange):
    """One call, and the task that reads its panels."""

    def __init__(self, protocol: FastPathProtocol, query: PanelsQuery, deadline_s: float, origin: Origin) -> None:
        super().__init__(protocol)
        self._query = query
        self._deadline_s = deadline_s
        self._origin = origin
        self._started = time.perf_counter()

    async def read(self, panels: Panels, db: Database) -> None:
        """Read the panels and respond."""
        telemetry.current_request_id.set(self._origin.request_id)
        telemetry.current_trace.set(self._origin.trace)
        try:
            body = await panels.answer(db, self._query, self._deadline_s)
        except Exception as error:
            self.protocol.hand_over(self, {BEGUN: self._origin, STARTED: self._started, FAILED: error})
        else:
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        telemetry.requests_seconds(PATH, "POST", 200).observe(time.perf_counter() - self._started)
        if self.disconnected:
            self.response_complete = True
            return
        default = b"".join([b"%s: %s\r\n" % header for header in self.protocol.server_state.default_headers])
        close = b"" if self.keep_alive else b"connection: close\r\n"
        self.respond(_HEAD % (default, len(body), self._origin.request_id.encode(), close) + body)


class PanelsFastPath:
    """Takes panel queries from the protocol. `state` is the application's; its lifespan adds the database."""

    def __init__(self, state: State, panels: Panels) -> None:
        self._state = state
        self._panels = panels

    def wants(self, method: bytes, url: bytes) -> bool:
        return url == _URL and method == b"POST"

    def take(self, protocol: FastPathProtocol) -> Exchange | None:
        """Start to read the panels; None leaves the request to the application."""
        headers, body = dict(protocol.headers), protocol.held_body
        if len(headers) != len(protocol.headers) or len(body) > MAX_BODY_BYTES:
            return None
        if not self._is_gateway(headers.get(b"authorization", b"")) or (origin := _origin(protocol, headers)) is None:
            return None
        try:
            query = self._panels.read_query(body)
        except InvalidInput:
            return None
        deadline = deadline_s(headers.get(_DEADLINE, b"").decode("latin-1"))
        exchange = PanelsExchange(protocol, query, deadline, origin)
        task = protocol.loop.create_task(exchange.read(self._panels, self._state.db))
        task.add_done_callback(protocol.tasks.discard)
        protocol.tasks.add(task)  # a server that shuts down waits for these
        return exchange

    def _is_gateway(self, authorization: bytes) -> bool:
        tokens: ServiceTokens = self._state.service_tokens
        scheme, _, token = authorization.partition(b" ")
        try:
            return scheme == b"Bearer" and tokens.verify(token.decode("latin-1")) == GATEWAY
        except InvalidToken:
            return False


def _origin(protocol: FastPathProtocol, headers: dict[bytes, bytes]) -> Origin | None:
    """Return the request id and trace, the caller's or new ones; None if the trace is recorded."""
    begun = telemetry.begin()
    trace = begun.trace
    if (told := headers.get(b"traceparent")) and (caller := Trace.parse(told.decode("latin-1"))):
        trace = caller.child()
    if trace.sampled and tracing.is_on():
        protocol.additions = {BEGUN: begun}
        return None
    given = headers.get(b"x-request-id", b"")
    return Origin(given.decode("ascii") if is_request_id(given) else begun.request_id, trace)
