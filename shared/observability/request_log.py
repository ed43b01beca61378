"""One line for every successful request, written in batches.

Structlog and logging cost as much as a whole dashboard. These lines look the same, and are written up to `EVERY_S`
later than other lines; their timestamps are those of the requests. A process that is killed loses the lines of that
time; one that shuts down writes them.
"""

import asyncio
import atexit
import sys
import time

import msgspec

from shared.clock import Stamps

EVERY_S = 0.1
MOST_LINES = 1000
"""Writing this many takes less than a millisecond."""


class RequestLog:
    """Collects lines, and writes them to stdout."""

    def __init__(self, service: str, logger: str) -> None:
        self._service = service
        self._logger = logger
        self._stamps = Stamps()
        self._forms: dict[tuple[str, str], bytes] = {}
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        atexit.register(self.write)

    def add(self, method: str, route: str, status: int, ms: float, request_id: str, trace_id: str) -> None:
        """Add a line. `route` is a template; the ids are plain ASCII."""
        form = self._forms.get((method, route)) or self._form(method, route)
        self._lines.append(form % (request_id.encode(), trace_id.encode(), status, ms, self._stamps.of(time.time())))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self.write)
        if len(self._lines) >= MOST_LINES:
            self.write()

    def write(self) -> None:
        """Write the collected lines."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            sys.stdout.write(b"".join(lines).decode())
            sys.stdout.flush()

    def _form(self, method: str, route: str) -> bytes:
        """Return a template for a line with the keys in the usual order."""
        head = {"service": self._service, "request_id": "\0", "trace_id": "\0", "method": method, "route": route}
        tail = {"event": "request", "level": "info", "logger": self._logger}
        text = msgspec.json.encode(head)[:-1] + b',"status":\0,"ms":\0,' + msgspec.json.encode(tail)[1:-1]
        text = text.replace(b"%", b"%%").replace(b"\\u0000", b"%s").replace(b"\0", b"%d", 1).replace(b"\0", b"%.1f", 1)
        form = self._forms[method, route] = text + b',"timestamp":"%s"}\n'
        return form
