"""One line for every request that went well, written many at a time.

The ordinary way through structlog and logging costs as much as a whole dashboard. The lines look the same, and come up
to `EVERY_S` later than what was logged meanwhile; their time stamps are those of the requests. A process that is
killed loses as much; one that ends writes them.
"""

import asyncio
import atexit
import sys
from datetime import UTC, datetime

import msgspec

EVERY_S = 0.1
MOST_LINES = 1000


class Line(msgspec.Struct):
    """In the order in which the ordinary lines have it."""

    service: str
    request_id: str
    trace_id: str
    method: str
    route: str
    status: int
    ms: float
    event: str
    level: str
    logger: str
    timestamp: datetime


class RequestLog:
    """Gathers lines, and writes them to stdout."""

    def __init__(self, service: str, logger: str) -> None:
        self._service = service
        self._logger = logger
        self._encode = msgspec.json.Encoder().encode_lines
        self._lines: list[Line] = []
        self._timer: asyncio.TimerHandle | None = None
        atexit.register(self.write)

    def add(self, method: str, route: str, status: int, ms: float, request_id: str, trace_id: str) -> None:
        now = datetime.now(UTC)
        line = Line(
            self._service, request_id, trace_id, method, route, status, ms, "request", "info", self._logger, now
        )
        self._lines.append(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self.write)
        if len(self._lines) >= MOST_LINES:
            self.write()

    def write(self) -> None:
        """Write what has been gathered."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            sys.stdout.write(self._encode(lines).decode())
            sys.stdout.flush()
