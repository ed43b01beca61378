"""`GET /v1/dashboard/events`: the dashboard as server-sent events, each panel as it arrives and then every change.

Plain ASGI: a stream is open for minutes and should cost as little as possible.
"""

from starlette.types import Receive, Scope, Send

from services.gateway import metrics
from services.gateway.container import gateway_of
from services.gateway.dashboard.models import parse
from services.gateway.dashboard.pending import DisconnectWatcher
from services.gateway.live import sse
from services.gateway.live.subscription import SlowClient
from services.gateway.panels import visible
from shared.http.application import AsgiRoute
from shared.http.strict_parameters import Query
from shared.observability.logs import get_logger

log = get_logger(__name__)

PARAMETERS = Query(frozenset({"panels"}), lists=frozenset({"panels"}))
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"private, no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would buffer events
]


class EventsEndpoint:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = gateway_of(scope)
        headers = dict(scope["headers"])
        admitted = await gateway.authenticator.admit(scope)
        caller = admitted.caller
        PARAMETERS.check(scope["query_string"])
        panels = visible(gateway.catalog.panels, caller.role, admitted.issued_by, own=True)
        query = parse(scope["query_string"], panels, gateway.settings.budget_ms)
        known = sse.read_id(headers.get(b"last-event-id", b"").decode("latin-1"))
        names = [panel.name for panel in query.panels]
        subject = admitted.as_subject(headers, gateway.catalog.forwarded)
        stream = gateway.hub.open(caller, admitted.ends, names, known, subject)
        watcher = DisconnectWatcher(receive)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body"})
                return
            watcher.watch(stream.leave)
            await stream.run(send, gateway.hub.retry_ms())
        except SlowClient:
            metrics.STREAMS_TOO_SLOW.inc()
            log.info("live stream client reads too slowly")
        finally:
            watcher.end()
            gateway.hub.close(stream)


def routes() -> list[AsgiRoute]:
    return [AsgiRoute("/v1/dashboard/events", EventsEndpoint(), methods=["GET"])]
