"""The spans of one sampled dashboard: one a panel, which says where the panel came from.

One call brings the panels of many dashboards. It belongs to the first of them that is sampled: its span is under that
one's panel, and the panels of the others name it by a link.
"""

from collections.abc import Mapping

from services.gateway.dashboard.models import Dashboard
from services.gateway.dashboard.wait import PanelWait
from services.gateway.upstream.single_flight import InFlightRead
from shared.observability import tracing
from shared.observability.telemetry import Trace

GIVEN_UP = "ClientGone"


class PanelSpans:
    """`trace` is where the request is."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._reads: Mapping[str, InFlightRead] = {}
        self._positions: dict[str, Trace] = {}

    def asked(self, reads: Mapping[str, InFlightRead]) -> None:
        """These are waited for. A call that has not left yet belongs to this trace from here on, unless to another."""
        self._reads = reads
        for name, read in reads.items():
            self._positions[name] = position = self._trace.child()
            read.askers.setdefault(name, position)

    def send(self, wait: PanelWait, dashboard: Dashboard | None) -> None:
        """What has come of it; there is no dashboard when its user does not exist, or nobody waited for it."""
        for name in dict.fromkeys([*wait.answers, *self._positions]):
            span = self._span(name, wait)
            answer = wait.answers.get(name)
            if answer is None:
                span.fail(GIVEN_UP)
            elif answer.data is None and not answer.user_missing:
                span.fail(answer.error)
            if dashboard:
                span.set({"dashboard.panel.status": dashboard.panels[name].status})
            tracing.send(span)

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
