"""The dashboard, in plain ASGI: every microsecond of FastAPI on this route would add to every page."""

from collections.abc import Mapping
from uuid import UUID

import msgspec
from starlette.types import Receive, Scope, Send

from services.gateway.container import client_of, gateway_of
from services.gateway.dashboard.awaited_wait import ClientDisconnected, DisconnectWatcher
from services.gateway.dashboard.models import Dashboard
from services.gateway.dashboard.pending import WAIT
from services.gateway.dashboard.query import parse, wants_no_cache
from services.gateway.errors import UserNotFound
from services.gateway.proxy.audit_log import entry_of
from shared.http.application import AsgiRoute
from shared.http.identity import Caller
from shared.observability.logs import get_logger

log = get_logger(__name__)

OF_ANOTHER = "/v1/users/{id}/dashboard"

_encoder = msgspec.json.Encoder()
_ALWAYS = ((b"content-type", b"application/json"), (b"cache-control", b"private, no-store"))


class DashboardEndpoint:
    """`GET /v1/dashboard` and `GET /v1/users/{id}/dashboard`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = gateway_of(scope)
        headers = dict(scope["headers"])
        caller = await gateway.authenticator.bearer(headers.get(b"authorization", b""))
        user_id = whose(scope["path_params"].get("id"), caller)
        query = parse(scope["query_string"], caller.role, gateway.settings.budget_ms)
        if user_id != caller.user_id:
            await gateway.trail.note(caller, client_of(scope), entry_of("GET", OF_ANOTHER, {}, subject=user_id))
        try:
            dashboard, seconds = await gateway.dashboards.read(
                user_id,
                query.panels,
                query.budget_ms / 1000,
                no_cache=wants_no_cache(headers.get(b"cache-control")),
                watcher=DisconnectWatcher(receive),
                answered=scope.get(WAIT),
            )
        except ClientDisconnected:
            log.info("client disconnected")
            return
        await _respond(send, dashboard, seconds)


def routes() -> list[AsgiRoute]:
    endpoint = DashboardEndpoint()
    return [
        AsgiRoute("/v1/dashboard", endpoint, methods=["GET"]),
        AsgiRoute("/v1/users/{id:uuid}/dashboard", endpoint, methods=["GET"]),
    ]


def whose(asked: UUID | None, caller: Caller) -> UUID:
    """Return the user of the dashboard. One that the caller may not read does not exist: raises `UserNotFound`."""
    if asked is None or asked == caller.user_id:
        return caller.user_id
    if not caller.is_operator:
        raise UserNotFound
    return asked


async def _respond(send: Send, dashboard: Dashboard, seconds: Mapping[str, float]) -> None:
    body = _encoder.encode(dashboard)
    headers = [
        *_ALWAYS,
        (b"dashboard-complete", b"true" if dashboard.complete else b"false"),
        (b"server-timing", _timing(dashboard, seconds)),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _timing(dashboard: Dashboard, seconds: Mapping[str, float]) -> bytes:
    entries = [
        f"{name};dur={seconds[name] * 1000:.1f};desc={view.status if seconds[name] else 'cache'}"
        for name, view in dashboard.panels.items()
    ]
    return ", ".join(entries).encode()
