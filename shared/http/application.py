"""The web application of a service: the parts that all services share, in the order in which a request passes them."""

import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Protocol

from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import errors
from shared.config.settings import ServiceSettings
from shared.http import negotiation, openapi, problems, strict_parameters
from shared.http.tokens import ServiceTokens
from shared.observability import logs, telemetry, tracing
from shared.observability.logs import get_logger
from shared.observability.probes import Checks, probes
from shared.observability.tracing import NOT_RECORDED, Recorded, Span
from shared.server.connection import Gate
from shared.server.fast_path import FastPath
from shared.server.rotation import SecretFiles

log = get_logger(__name__)

MAX_QUERY_BYTES = 8192
MAX_BODY_BYTES = 1024 * 1024
"""The largest request body of an ordinary route; larger ones are answered 413."""

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_RAW_REQUEST_ID_HEADER = REQUEST_ID_HEADER.lower().encode()
_LENGTH, _TRANSFER = b"content-length", b"transfer-encoding"
RawHeaders = Mapping[bytes, bytes]
BEGUN, STARTED = "request.begun", "request.started"
"""Scope keys of a request that the fast path has left to the application: its `Origin`, and its arrival time
(`time.perf_counter`)."""
_PROBES = ("/livez", "/readyz", "/metrics")
_UNLOGGED = (*_PROBES, "/internal/")
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
Heeds = Callable[[Scope], bool]
"""Returns whether the caller's sampling flag is trusted."""


def is_request_id(given: bytes) -> bool:
    """Returns whether a caller's request id is accepted."""
    return _REQUEST_ID.fullmatch(given.decode("latin-1")) is not None


class Admission(Gate, Protocol):
    """Middleware that a service adds before its routes."""

    def before(self, app: ASGIApp) -> ASGIApp:
        """The outermost middleware."""

    def enter(self, scope: Scope, receive: Receive) -> Coroutine[Any, Any, Receive] | None:
        """Called before a route, inside the error handling. Its result is awaited and returns the `receive` of the
        body. Raises the error for the client."""

    def leave(self, scope: Scope, start: Message) -> None:
        """Called with the head of each response, for its list of headers."""


class AsgiRoute(Route):
    """A route whose endpoint is an ASGI object. It reports its path template to metrics and logs, as FastAPI's routes
    do."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return match, {**child_scope, "route": self, "method": negotiation.asked_method(scope)}


def create_app(
    service: str,
    settings: ServiceSettings,
    *,
    lifespan: Lifespan,
    routes: Iterable[APIRouter | BaseRoute],
    is_outage: Callable[[Exception], bool] = lambda _: False,
    body_limits: Mapping[str, int] | None = None,
    door: Admission | None = None,
    heeds: Heeds = lambda _: True,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> "Application":
    """Create the application of one service.

    `lifespan` creates the service's dependencies and puts them on `app.state`, and their checks in `app.state.checks`.
    `is_outage` distinguishes exceptions that mean "a dependency is down" (503) from bugs (500). `body_limits` sets
    larger body limits in bytes, by path. `heeds` decides whether to trust a caller's `traceparent`; by default every
    caller's, since only other services can reach a service.
    """
    app = Application(
        title=f"Dashboard: {service}",
        version=version("dashboard"),
        lifespan=_with_state(service, settings, lifespan),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    limits = BodyLimits(max_body_bytes, body_limits or {})
    context = {"is_outage": is_outage, "limits": limits, "door": door, "heeds": heeds}
    app.add_middleware(RequestContext, **context)  # type: ignore[arg-type]
    problems.install(app)
    routes = list(routes)
    for route in routes:
        if isinstance(route, APIRouter):
            app.include_router(route, dependencies=[Depends(strict_parameters.known_query)])
        else:
            app.router.routes.append(route)
    app.answer_directly(
        (route for route in routes if isinstance(route, AsgiRoute)),
        RequestContext(app, is_outage, limits, door, heeds),
        limits,
        door,
    )
    app.include_router(probes)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return app


def _with_state(service: str, settings: ServiceSettings, lifespan: Lifespan) -> Lifespan:
    @asynccontextmanager
    async def with_state(app: FastAPI) -> AsyncIterator[None]:
        app.state.settings = settings
        app.state.service_tokens = ServiceTokens(settings.internal_token_secret.get_secret_value(), service)
        app.state.checks = Checks()
        app.state.stopping = []  # called when the process is told to shut down, before open requests are waited for
        app.state.secret_files = SecretFiles(settings)
        app.state.secret_files.follow("internal_token_secret", app.state.service_tokens.rotate)
        async with lifespan(app):
            if background := getattr(app.state, "background", None):
                background.start("secret files", app.state.secret_files.watch)
            log.info("started", port=settings.port)
            yield
            log.info("stopping")

    return with_state


class Application(FastAPI):
    """FastAPI with a fast lookup of plain ASGI routes by their path, before all others.

    Such a request bypasses FastAPI's middlewares and its search through the routes, which cost more than many
    endpoints. It only passes through `RequestContext`.
    """

    def answer_directly(
        self, routes: Iterable[AsgiRoute], context: "RequestContext", limits: "BodyLimits", door: Admission | None
    ) -> None:
        self._context = context
        self._limits = limits
        self.gate: Gate | None = door
        self.fast_path: FastPath | None = None
        self._first: Callable[[Scope, Receive, Send], Any] = door.before(self._serve) if door else self._serve
        self._own = tuple(routes)
        self._passed: tuple[AsgiRoute, ...] = ()
        self._index()

    def pass_through(self, routes: Iterable[AsgiRoute], body_limits: Mapping[str, int]) -> None:
        """Also serve these routes from now on, instead of those of the last call. `body_limits` sets larger body limits
        in bytes, by path."""
        for route in self._passed:
            self.router.routes.remove(route)
        self._passed = tuple(routes)
        self.router.routes.extend(self._passed)
        self._limits.by_path = body_limits
        self._index()

    def _index(self) -> None:
        self._direct: dict[str, AsgiRoute] = {}
        self._with_parameters: dict[tuple[int, str], list[AsgiRoute]] = defaultdict(list)
        for route in (*self._own, *self._passed):
            if route.param_convertors:
                self._with_parameters[_shape(route.path)].append(route)
            else:
                self._direct[route.path] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._first if scope["type"] == "http" else super().__call__)(scope, receive, send)

    def _serve(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        route = None if scope.get("root_path") else self._find(scope)
        if route:
            scope["app"] = self
            return self._context.answer(route.app, scope, receive, send)
        return super().__call__(negotiation.as_get(scope), receive, send)

    def _find(self, scope: Scope) -> AsgiRoute | None:
        """Return the plain ASGI route for that path and method, and put it into the scope with its parameters."""
        if route := self._direct.get(scope["path"]):
            if scope["method"] not in (route.methods or ()):
                return None
            scope["route"], scope["path_params"] = route, {}
            return route
        for route in self._with_parameters.get(_shape(scope["path"]), ()):
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                return route
        return None


def _shape(path: str) -> tuple[int, str]:
    """The number of segments, and the first two: few routes share them. Parameters are matched after those."""
    return path.count("/"), "/".join(path.split("/", 3)[:3])


@dataclass
class BodyLimits:
    """The largest request body in bytes: `by_path`, or else `ordinary`."""

    ordinary: int
    by_path: Mapping[str, int]

    def of(self, path: str) -> int:
        return self.by_path.get(path, self.ordinary)


class RequestContext:
    """Assigns each request its id and trace, handles uncaught exceptions, logs and measures. Plain ASGI."""

    def __init__(
        self,
        app: ASGIApp,
        is_outage: Callable[[Exception], bool],
        limits: BodyLimits,
        door: Admission | None = None,
        heeds: Heeds = lambda _: True,
    ) -> None:
        self._app = app
        self._door = door
        self._heeds = heeds
        self._is_outage = is_outage
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.answer(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` answer one HTTP request."""
        began = scope.pop(STARTED, None) or time.perf_counter()
        headers = dict(scope["headers"])
        request_id, span = self._identify(scope, headers)
        door = self._door
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (_RAW_REQUEST_ID_HEADER, request_id.encode())]
                if span is not NOT_RECORDED:
                    message["headers"].append((b"traceresponse", (telemetry.traceparent() or "").encode()))
                if door is not None:
                    door.leave(scope, message)
            await send(message)

        try:
            receive = self._check(scope, headers, receive)
            if door is not None:
                entering = door.enter(scope, receive)
                receive = await entering if entering is not None else receive
            await app(scope, receive, send_with_id)
        except Exception as error:
            response = self._response_to(error, scope)
            if status:
                raise
            await response(scope, receive, send_with_id)
        finally:
            _record(scope, status, time.perf_counter() - began, span)

    def _check(self, scope: Scope, headers: RawHeaders, receive: Receive) -> Receive:
        """Refuse requests that no route accepts. Returns the `receive` of the body, within its limit."""
        if len(headers) != len(scope["headers"]):
            strict_parameters.refuse_repeated(scope["headers"])
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            raise errors.InvalidInput.of("query", f"must be at most {MAX_QUERY_BYTES // 1024} KiB")
        if _LENGTH in headers or _TRANSFER in headers:
            return _bounded(headers, receive, self._limits.of(scope["path"]))
        return receive

    def _identify(self, scope: Scope, headers: RawHeaders) -> tuple[str, Span]:
        """Accept the caller's request id and trace, or start new ones: both appear in logs, problems and calls."""
        given = headers.get(_RAW_REQUEST_ID_HEADER)
        told = headers.get(b"traceparent")
        begun = scope.pop(BEGUN, None) or telemetry.begin()
        trace = begun.trace
        parent_id = ""
        if told and (caller := telemetry.Trace.parse(told.decode("latin-1"))):
            trace = caller.child(caller.flags if self._heeds(scope) else trace.flags)
            parent_id = caller.span_id
        request_id = given.decode("latin-1") if given else ""
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = begun.request_id
        if trace.sampled and scope["path"] in _PROBES:
            trace = trace.child(telemetry.NOT_SAMPLED)
        telemetry.current_trace.set(trace)
        telemetry.current_request_id.set(request_id)
        return request_id, tracing.answer(trace, parent_id)

    def _response_to(self, error: Exception, scope: Scope) -> Response:
        if isinstance(error, errors.DashboardError):
            return problems.of_error(error)
        if isinstance(error, HTTPException):
            return problems.of_status(error.status_code, error.headers)
        if self._is_outage(error):
            log.warning("a dependency is unavailable", route=_template(scope), error=repr(error))
            return problems.of_error(errors.Unavailable())
        telemetry.UNHANDLED.labels(_template(scope)).inc()
        log.error("unhandled exception", route=_template(scope), exc_info=error)
        return problems.of_error(errors.DashboardError("This is an internal error; it has been logged."))


def _record(scope: Scope, status: int, seconds: float, span: Span) -> None:
    route = _template(scope)
    telemetry.requests_seconds(route, scope["method"], status).observe(seconds, tracing.exemplar())
    if isinstance(span, Recorded):
        _tell(span, scope["method"], route, status)
    if not scope["path"].startswith(_UNLOGGED):
        logs.log_request(scope["method"], route, status, round(seconds * 1000, 1))


def _tell(span: Recorded, method: str, route: str, status: int) -> None:
    span.rename(f"{method} {route}")
    span.set({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or not status:
        span.fail(str(status or "no answer"))
    span.end()


def _template(scope: Scope) -> str:
    """Return the route's path template, so that metrics do not grow with ids; `unknown` if none matched."""
    return getattr(scope.get("route"), "path_format", "unknown")


def _bounded(headers: RawHeaders, receive: Receive, max_bytes: int) -> Receive:
    """Refuses a body that is declared too large, or turns out to be. FastAPI's own limit answers in plain text, without
    a request id."""
    told = headers.get(_LENGTH, b"")
    if told.isdigit() and int(told) > max_bytes:
        raise HTTPException(413)
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise HTTPException(413)
        return message

    return receive_bounded
