"""A dashboard that is answered in the protocol, while its panels are under way.

It inherits from two classes, and mypyc compiles no such class: this module is not compiled.
"""

from typing import TYPE_CHECKING

from services.gateway.admission.visits import COUNTED, HEADERS
from services.gateway.auth import Verified
from services.gateway.dashboard.wait import Wait
from shared.connection import LET_IN
from shared.logs import get_logger
from shared.server.fast_path import Exchange, FastPathProtocol
from shared.telemetry import Origin
from shared.web import BEGUN, STARTED

if TYPE_CHECKING:
    from services.gateway.dashboard.fast_path import DashboardFastPath, Form

log = get_logger(__name__)

WAIT = "dashboard.wait"
"""There, in a request's scope, when its panels have been waited for already."""


class Pending(Exchange, Wait):
    """One dashboard under way: to its connection an exchange, and to the services a wait."""

    def __init__(
        self,
        fast_path: "DashboardFastPath",
        protocol: FastPathProtocol,
        form: "Form",
        known: Verified,
        origin: Origin,
        limits: bytes,
        started: float,
    ) -> None:
        Exchange.__init__(self, protocol)
        Wait.__init__(self, fast_path.reader.timers, form.budget_s)
        self._fast_path = fast_path
        self.form = form
        self.known = known
        self.origin = origin
        self.limits = limits
        self.started = started

    def done(self) -> None:
        try:
            self._fast_path.finish(self)
        except Exception:
            log.exception("a dashboard could not be answered in the protocol", **named(self.origin))
            if not self.response_started:
                self.hand_over()

    def hand_over(self) -> None:
        """Let the application say what is missing. It counts nothing again, and repeats no call."""
        lines = [line.partition(b": ")[::2] for line in self.limits.split(b"\r\n") if line]
        self.protocol.hand_over(
            self,
            {
                BEGUN: self.origin,
                STARTED: self.started,
                LET_IN: True,
                COUNTED: True,
                HEADERS: tuple(lines),
                WAIT: self,
            },
        )

    def client_left(self) -> None:
        self.give_up()


def named(origin: Origin) -> dict[str, str]:
    """What a log line says of the request."""
    return {"request_id": origin.request_id, "trace_id": origin.trace.trace_id}
