"""What every request to the gateway passes by: shedding, CORS, limits, and the headers that every answer has."""

from collections.abc import Coroutine
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway import metrics
from services.gateway.admission.browsers import cors, security_headers
from services.gateway.admission.kinds import LASTING, PROBES, kind_of
from services.gateway.admission.overload import Overload
from services.gateway.admission.visits import COUNTED, HEADERS, KIND, REFUND, current_scope
from services.gateway.gateway import gateway_of
from services.gateway.settings import Settings
from shared import errors

Headers = list[tuple[bytes, bytes]]


class Door:
    """Made with the application; the limits come with the gateway, which is built when the application starts."""

    def __init__(self, settings: Settings, overload: Overload) -> None:
        self._settings = settings
        self._overload = overload
        self._always = security_headers(settings)
        self._always_names = frozenset(name for name, _ in self._always)
        self._overloaded = overloaded(settings.shed_retry_after_s)

    def before(self, app: ASGIApp) -> ASGIApp:
        """The application with shedding, and with CORS where it is wanted, in front of it."""
        self._app = app
        return cors(self._around, self._settings) if self._settings.cors_origins else self._around

    async def _around(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in PROBES:
            await self._app(scope, receive, send)
            return
        kind = scope[KIND] = kind_of(scope["method"], path)
        overload = self._overload
        if overload.in_hand >= overload.watched_from and overload.is_full(kind):
            await self._shed(kind, send)
        elif kind in LASTING:
            await self._app(scope, receive, send)
        else:
            overload.in_hand += 1
            try:
                await self._app(scope, receive, send)
            finally:
                overload.in_hand -= 1

    def enter(self, scope: Scope, receive: Receive) -> Coroutine[Any, Any, Receive] | None:
        """Count the request where that needs no caller. Raises `RateLimited`."""
        if KIND not in scope:
            current_scope.set(None)
            return None
        current_scope.set(scope)
        gateway = gateway_of(scope)
        return gateway.limits.arrive(scope, receive, gateway.authenticator.knows)

    def leave(self, scope: Scope, start: Message) -> None:
        """Give the head of an answer its headers."""
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

    async def _shed(self, kind: str, send: Send) -> None:
        metrics.SHED.counts[(kind,)] += 1
        start, body = self._overloaded
        await send({**start, "headers": [*start["headers"], *self._always]})
        await send(body)


def _without(always: Headers, headers: Headers) -> Headers:
    """Those that the route has not set itself."""
    names = {name for name, _ in headers}
    return [each for each in always if each[0] not in names]


def overloaded(retry_after_s: int) -> tuple[Message, Message]:
    """The answer to what is refused: made once, since making it must cost next to nothing."""
    detail = "The gateway has more in hand than it can answer soon; nothing was done, try again."
    body = msgspec.json.encode(errors.problem(503, "overloaded", "Too busy", detail))
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % retry_after_s),
        (b"cache-control", b"no-store"),
    ]
    start: Message = {"type": "http.response.start", "status": 503, "headers": headers}
    return start, {"type": "http.response.body", "body": body}
