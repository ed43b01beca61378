"""The dashboard, in plain ASGI: on this route every microsecond of FastAPI's would be paid by every page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import msgspec
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from services.gateway.dashboard import Dashboard
from services.gateway.departure import ClientGone, Departure
from services.gateway.errors import UserNotFound
from services.gateway.gateway import client_of, gateway_of
from services.gateway.panels import Panel, select
from services.gateway.trail import entry_of
from shared.errors import InvalidInput
from shared.identity import Caller
from shared.logs import get_logger
from shared.strict import Query
from shared.tokens import Role
from shared.web import AsgiRoute

log = get_logger(__name__)

OF_ANOTHER = "/v1/users/{id}/dashboard"
PARAMETERS = Query(frozenset({"panels", "budget_ms"}), lists=frozenset({"panels"}))
MIN_BUDGET_MS, MAX_BUDGET_MS = 10, 10_000

_encoder = msgspec.json.Encoder()
_ALWAYS = ((b"content-type", b"application/json"), (b"cache-control", b"private, no-store"))


@dataclass(frozen=True)
class Wish:
    """What a caller asked for."""

    panels: list[Panel]
    budget_ms: int


class DashboardEndpoint:
    """`GET /v1/dashboard` and `GET /v1/users/{id}/dashboard`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = gateway_of(scope)
        headers = dict(scope["headers"])
        caller = await gateway.authenticator.bearer(headers.get(b"authorization", b""))
        user_id = whose(scope["path_params"].get("id"), caller)
        wish = parse(scope["query_string"], caller.role, gateway.settings.budget_ms)
        if user_id != caller.user_id:
            await gateway.trail.note(caller, client_of(scope), entry_of("GET", OF_ANOTHER, {}, subject=user_id))
        try:
            dashboard, seconds = await gateway.dashboards.read(
                user_id,
                wish.panels,
                wish.budget_ms / 1000,
                anew=wants_anew(headers.get(b"cache-control")),
                departure=Departure(receive),
            )
        except ClientGone:
            log.info("the client went away")
            return
        await _respond(send, dashboard, seconds)


def routes() -> list[AsgiRoute]:
    endpoint = DashboardEndpoint()
    return [
        AsgiRoute("/v1/dashboard", endpoint, methods=["GET"]),
        AsgiRoute("/v1/users/{id:uuid}/dashboard", endpoint, methods=["GET"]),
    ]


def whose(asked: UUID | None, caller: Caller) -> UUID:
    """Whose dashboard it is. One that is not the caller's to see does not exist: raises `UserNotFound`."""
    if asked is None or asked == caller.user_id:
        return caller.user_id
    if not caller.is_operator:
        raise UserNotFound
    return asked


@lru_cache(maxsize=256)
def parse(query: bytes, role: Role, default_budget_ms: int) -> Wish:
    """The wish in `?panels=user,orders&budget_ms=300`. Raises `InvalidInput`."""
    PARAMETERS.check(query)
    told = QueryParams(query)
    names = ",".join(told.getlist("panels")).split(",") if "panels" in told else None
    return Wish(select(names, role), _budget(told.get("budget_ms"), default_budget_ms))


_ANEW = re.compile(rb"(?:^|[\s,])(?:no-cache|max-age\s*=\s*\"?0+\"?)(?:$|[\s,])", re.IGNORECASE)


@lru_cache(maxsize=256)
def wants_anew(cache_control: bytes | None) -> bool:
    """Whether `Cache-Control` says `no-cache` or `max-age=0`."""
    return cache_control is not None and _ANEW.search(cache_control) is not None


def _budget(told: str | None, default_ms: int) -> int:
    if told is None:
        return default_ms
    if told.isascii() and told.isdigit() and len(told) < 9 and MIN_BUDGET_MS <= int(told) <= MAX_BUDGET_MS:
        return int(told)
    raise InvalidInput.of("budget_ms", f"must be a whole number from {MIN_BUDGET_MS} to {MAX_BUDGET_MS}")


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
