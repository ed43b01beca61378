"""The spans of one sampled dashboard: one per panel, with the source of the panel.

One call reads the panels of many dashboards. It belongs to the first sampled one: its span is below that one's panel,
and the panels of the others link to it.
"""

from collections.abc import Mapping

from services.gateway.dashboard.models import Dashboard
from services.gateway.dashboard.wait import PanelWait
from services.gateway.upstream.single_flight import InFlightRead
from shared.observability import tracing
from shared.observability.telemetry import Trace

GIVEN_UP = "ClientGone"


class PanelSpans:
    """`trace` is the position of the request."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._reads: Mapping[str, InFlightRead] = {}
        self._positions: dict[str, Trace] = {}

    def asked(self, reads: Mapping[str, InFlightRead]) -> None:
        """The dashboard waits for these reads. A call that has not been sent yet belongs to this trace from now on,
        unless it belongs to another."""
        self._reads = reads
        for name, read in reads.items():
            self._positions[name] = position = self._trace.child()
            read.askers.setdefault(name, position)

    def send(self, wait: PanelWait, dashboard: Dashboard | None) -> None:
        """Record the outcome; there is no dashboard if its user does not exist, or the client has disconnected."""
        for name in dict.fromkeys([*wait.answers, *self._positions]):
            span = self._span(name, wait)
            answer = wait.answers.get(name)
            if answer is None:
                span.fail(GIVEN_UP)
            elif answer.data is None and not answer.user_missing:
                span.fail(answer.error)
            if dashboard:
                span.set({"dashboard.panel.status": dashboard.panels[name].status})
            span.end()

    def _span(self, name: str, wait: PanelWait) -> tracing.Recorded:
        position, seconds = self._positions.get(name) or self._trace.child(), wait.seconds.get(name)
        span = tracing.past(f"panel {name}", position, self._trace.span_id, wait.began, seconds)
        span.set({"dashboard.panel": name, "dashboard.panel.source": "memory"})
        if read := self._reads.get(name):
            carrier = read.carriers.get(name)
            own = carrier is position
            span.set({"dashboard.panel.source": "call" if own else "shared call"})
            if carrier and not own:
                span.link(carrier)
        return span
