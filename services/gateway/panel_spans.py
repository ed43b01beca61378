"""The spans of one sampled dashboard: one a panel, which says where the panel came from.

One call brings the panels of many dashboards. It belongs to the first of them that is sampled: its span is under that
one's panel, and the panels of the others name it by a link.
"""

from collections.abc import Iterable, Mapping

from services.gateway.dashboard import Dashboard
from services.gateway.flights import Flight
from services.gateway.gathering import Gathering
from services.gateway.panels import Panel
from shared import tracing
from shared.telemetry import Trace

GIVEN_UP = "ClientGone"


class PanelSpans:
    """`trace` is where the request is."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._flights: Mapping[str, Flight] = {}
        self._positions: dict[str, Trace] = {}

    def asked(self, flights: Iterable[tuple[Panel, Flight]]) -> None:
        """These are waited for. A call that has not left yet belongs to this trace from here on, unless to another."""
        self._flights = {panel.name: flight for panel, flight in flights}
        for name, flight in self._flights.items():
            self._positions[name] = position = self._trace.child()
            if flight.asker is None:
                flight.asker = position

    def send(self, gathering: Gathering, dashboard: Dashboard | None) -> None:
        """What has come of it; there is no dashboard when its user does not exist, or nobody waited for it."""
        for name in dict.fromkeys([*gathering.answers, *self._positions]):
            span = self._span(name, gathering)
            answer = gathering.answers.get(name)
            if answer is None:
                span.fail(GIVEN_UP)
            elif answer.data is None and not answer.user_missing:
                span.fail(answer.error)
            if dashboard:
                span.set({"dashboard.panel.status": dashboard.panels[name].status})
            tracing.send(span)

    def _span(self, name: str, gathering: Gathering) -> tracing.Recorded:
        position, seconds = self._positions.get(name) or self._trace.child(), gathering.seconds.get(name)
        span = tracing.past(f"panel {name}", position, self._trace.span_id, gathering.began, seconds)
        span.set({"dashboard.panel": name, "dashboard.panel.source": "memory"})
        if flight := self._flights.get(name):
            own = flight.carrier is position
            span.set({"dashboard.panel.source": "call" if own else "shared call"})
            if flight.carrier and not own:
                span.link(flight.carrier)
        return span
