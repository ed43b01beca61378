"""The outermost layer of the gateway: load shedding, CORS, rate limits, and the headers of every response."""

from collections.abc import Coroutine
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway import metrics
from services.gateway.container import gateway_of
from services.gateway.errors import GatewayBusy
from services.gateway.limits.cors import cors, security_headers
from services.gateway.limits.limiter import COUNTED, HEADERS, KIND, REFUND
from services.gateway.limits.load_shedding import LASTING, PROBES, LoadShedder, route_class_of
from services.gateway.settings import Settings
from shared import errors
from shared.server.connection import LET_IN

RETRY_AFTER_S = 2
"""`Retry-After` of shed requests."""

Headers = list[tuple[bytes, bytes]]


class AdmissionMiddleware:
    """Created with the application; the limits are added with the gateway, which is created when the application
    starts."""

    def __init__(self, settings: Settings, shedder: LoadShedder) -> None:
        self._settings = settings
        self._shedder = shedder
        self._always = security_headers(settings)
        self._always_names = frozenset(name for name, _ in self._always)
        self._overloaded = overloaded(RETRY_AFTER_S, self._always)
        self._raw_refusal = _raw(*self._overloaded)

    def before(self, app: ASGIApp) -> ASGIApp:
        """Return the application with load shedding, and with CORS if configured, in front of it."""
        settings = self._settings
        self._app, self._refuse = (
            cors(each, settings) if settings.cors_origins else each for each in (app, self._shed)
        )
        return self._around

    def is_shut(self, method: bytes, url: bytes) -> bool:
        """Return whether such a request is refused now."""
        shedder = self._shedder
        if shedder.in_flight < shedder.watched_from:
            return False
        path = _path(url)
        return shedder.is_full(route_class_of(method.decode("latin-1"), path)) and path not in PROBES

    def refusal(self, method: bytes, url: bytes) -> bytes:
        """Return the whole response to a refused request, and count the refusal."""
        metrics.SHED.counts[(route_class_of(method.decode("latin-1"), _path(url)),)] += 1
        return self._raw_refusal

    def let_in(self) -> None:
        """Count a request whose head has just been read, so that waiting requests are included."""
        self._shedder.enter()

    async def _around(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        shedder = self._shedder
        counted = scope.pop(LET_IN, False)
        if path in PROBES:
            if counted:
                shedder.leave()
            await self._app(scope, receive, send)
            return
        kind = scope[KIND] = route_class_of(scope["method"], path)
        if not counted:
            if shedder.in_flight >= shedder.watched_from and shedder.is_full(kind):
                await self._refuse(scope, receive, send)
                return
            shedder.enter()
        try:
            if kind in LASTING:
                shedder.leave()
            await self._app(scope, receive, send)
        finally:
            if kind not in LASTING:
                shedder.leave()

    def enter(self, scope: Scope, receive: Receive) -> Coroutine[Any, Any, Receive] | None:
        """Count the request if that needs no caller. Raises `RateLimited`."""
        kind = scope.get(KIND)
        if kind is None:
            return None
        gateway = gateway_of(scope)
        if kind == "login" and gateway.catalog.has_accounts:
            return gateway.passwords.sign_in(scope, receive)
        if kind == "recovery":
            return gateway.passwords.recover(scope, receive)
        if kind == "registration":
            return gateway.limits.count_address(scope, receive)
        gateway.limits.refuse_strangers(scope, gateway.authenticator.knows)
        return None

    def leave(self, scope: Scope, start: Message) -> None:
        """Add headers to the head of a response."""
        headers = start["headers"]
        for name, _ in headers:
            if name in self._always_names:
                headers += _without(self._always, headers)
                break
        else:
            headers += self._always
        if KIND in scope:
            if COUNTED not in scope or REFUND in scope:
                gateway_of(scope).limits.answered(scope, start["status"])
            headers += scope.get(HEADERS, ())

    async def _shed(self, scope: Scope, _receive: Receive, send: Send) -> None:
        metrics.SHED.counts[(scope[KIND],)] += 1
        start, body = self._overloaded
        await send({**start, "headers": [*start["headers"]]})
        await send(body)


def _path(url: bytes) -> str:
    return url.partition(b"?")[0].decode("latin-1")


def _without(always: Headers, headers: Headers) -> Headers:
    """Return the headers that the route has not set itself."""
    names = {name for name, _ in headers}
    return [each for each in always if each[0] not in names]


def overloaded(retry_after_s: int, always: Headers) -> tuple[Message, Message]:
    """The response to refused requests: created once, because sending it must cost next to nothing."""
    detail = "The gateway has more requests in flight than it can answer soon; the request had no effect, try again."
    body = msgspec.json.encode(errors.problem(GatewayBusy.status, GatewayBusy.code, GatewayBusy.title, detail))
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % retry_after_s),
        (b"cache-control", b"no-store"),
        *always,
    ]
    start: Message = {"type": "http.response.start", "status": 503, "headers": headers}
    return start, {"type": "http.response.body", "body": body}


def _raw(start: Message, body: Message) -> bytes:
    """The same, as bytes on the wire."""
    head = b"".join(b"%s: %s\r\n" % header for header in start["headers"])
    answer: bytes = b"HTTP/1.1 503 Service Unavailable\r\n" + head + b"\r\n" + body["body"]
    return answer
