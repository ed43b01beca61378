"""`GET /v1/dashboard` of known callers, answered inside the protocol: no ASGI scope, no task, no timer, one write.

Unusual requests go to the application before they are counted: an unknown token, a reached limit, a recorded trace, a
header that asks for more. Only complete dashboards are answered here. If a panel is missing after the services were
called, the application receives all results and repeats no call.
"""

import time
from collections.abc import Sequence

import msgspec

from services.gateway.auth.authenticator import Authenticator, Verified
from services.gateway.dashboard.cache import Cached, PanelCache
from services.gateway.dashboard.models import parse, wants_no_cache
from services.gateway.dashboard.pending import Form, Pending, named
from services.gateway.dashboard.reader import PanelReader
from services.gateway.limits.cors import security_headers
from services.gateway.limits.limiter import Limiter
from services.gateway.limits.load_shedding import LoadShedder
from services.gateway.panels import Panels, visible
from services.gateway.settings import Settings, Tuning
from shared.clock import Stamps
from shared.errors import InvalidInput
from shared.http.application import BEGUN, MAX_QUERY_BYTES, is_request_id
from shared.observability import logs, telemetry, tracing
from shared.observability.logs import get_logger
from shared.observability.telemetry import SAMPLED, Origin, Trace
from shared.server.fast_path import ANSWERED, Exchange, FastPathProtocol

log = get_logger(__name__)

PATH, ROUTE = b"/v1/dashboard", "/v1/dashboard"
MAX_FORMS = 256

_UNUSUAL = frozenset(
    {
        b"access-control-request-method",
        b"content-length",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"origin",
        b"range",
    }
)
"""Headers of requests whose response may differ from the usual one."""
_HEAD = (
    b"HTTP/1.1 200 OK\r\n%scontent-type: application/json\r\ncache-control: private, no-store\r\n"
    b"dashboard-complete: true\r\nserver-timing: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\n"
)


class DashboardFastPath:
    """Takes requests from the protocol, and answers them."""

    def __init__(
        self,
        settings: Settings,
        tuning: Tuning,
        shedder: LoadShedder,
        authenticator: Authenticator,
        limits: Limiter,
        cache: PanelCache,
    ) -> None:
        self._panels: Panels = ()
        self._forwarded: tuple[bytes, ...] = ()
        self._shedder = shedder
        self._authenticator = authenticator
        self._limits = limits
        self._cache = cache
        self._budget_ms = settings.budget_ms
        self._recall_s = tuning.redis_timeout_s
        self._trusts_traces = bool(settings.trace_trusted)
        always = b"".join([b"%s: %s\r\n" % each for each in security_headers(settings)])
        vary = b"vary: Origin\r\n" if settings.cors_origins else b""
        self._head = _HEAD + always + b"%s" + vary + b"%s\r\n"
        self._forms: dict[tuple[bytes, str, str | None], Form | None] = {}
        self._seconds = telemetry.requests_seconds(ROUTE, "GET", 200)
        self._stamps = Stamps()

    def use(self, reader: PanelReader, panels: Panels, forwarded: Sequence[bytes]) -> None:
        """Read these panels from now on. `forwarded`: the names of the request headers that services get."""
        self.reader = reader
        self._panels = panels
        self._forwarded = tuple(forwarded)
        self._forms.clear()

    def wants(self, method: bytes, url: bytes) -> bool:
        """Return whether it is a request for the caller's own dashboard."""
        return url.startswith(PATH) and method == b"GET" and url[13:14] in (b"", b"?")

    def take(self, protocol: FastPathProtocol) -> Exchange | None:
        """Answer at once from memory, or call the services; None leaves it to the application."""
        started = time.perf_counter()
        headers = dict(protocol.headers)
        if len(headers) != len(protocol.headers) or not _UNUSUAL.isdisjoint(headers):
            return None
        known = self._authenticator.known(headers.get(b"authorization", b""))
        if known is None or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
            return None
        form = self._form(protocol.url[14:], known)
        ids = self._ids(protocol, headers)
        if form is None or ids is None:
            return None
        limits = self._limits.take_read(known.caller)
        if limits is None:
            return None
        no_cache = wants_no_cache(headers.get(b"cache-control"))
        found = None if no_cache else self._cache.get_all(form.names, known.user_id)
        if found is None:
            origin = Origin(ids[0], Trace(ids[1], telemetry.random_hex(16)))
            pending = Pending(self, protocol, form, known, origin, limits, started)
            self._shedder.enter()
            is_plain = known.issuer is None and not form.own_only
            subject = None if is_plain else known.as_subject(headers, self._forwarded)
            if not self.reader.read(pending, form.panels, known.user_id, origin, no_cache=no_cache, subject=subject):
                pending.done()  # all were in memory after all
            return pending
        form.hits.times += 1
        self._shedder.passed()
        answer = self._answer(protocol, form, known, ids[0], limits, found, form.from_cache)
        self._record(200, started, *ids)
        protocol.write_answer(answer)
        return ANSWERED

    def _ids(self, protocol: FastPathProtocol, headers: dict[bytes, bytes]) -> tuple[str, str] | None:
        """Return request id and trace id; None if the trace may be recorded."""
        traceparent = headers.get(b"traceparent")
        if traceparent is not None and self._trusts_traces:
            return None
        request_id, trace_id, sampled = telemetry.new_ids()
        if sampled and tracing.is_on():
            trace = Trace(trace_id, telemetry.random_hex(16), SAMPLED)
            protocol.additions = {BEGUN: Origin(request_id, trace)}
            return None
        if traceparent is not None and (caller := Trace.parse(traceparent.decode("latin-1"))) is not None:
            trace_id = caller.trace_id
        if (given := headers.get(b"x-request-id")) is not None and is_request_id(given):
            request_id = given.decode("ascii")
        return request_id, trace_id

    def finish(self, pending: Pending) -> None:
        """All results are there, or the client has disconnected."""
        request_id, trace_id = pending.origin.request_id, pending.origin.trace.trace_id
        if pending.is_given_up:
            self._shedder.leave()
            pending.response_complete = True
            log.info("client disconnected", **named(pending.origin))
            self._record(0, pending.started, request_id, trace_id)
            return
        form, answers, waited = pending.form, pending.answers, pending.seconds
        found: list[Cached] = []
        timing: list[object] = []
        for name in form.names:
            answer = answers[name]
            if answer.data is None:
                pending.hand_over()
                return
            seconds = waited[name]
            found.append((answer.data, answer.age_ms))
            timing += (seconds * 1000, b"fresh" if seconds else b"cache")
        timings = form.timing % tuple(timing)
        close = b"" if pending.keep_alive else b"connection: close\r\n"
        whole = self._answer(pending.protocol, form, pending.known, request_id, pending.limits, found, timings, close)
        self._shedder.leave()
        self._record(200, pending.started, request_id, trace_id)
        pending.respond(whole)

    def _form(self, query: bytes, known: Verified) -> Form | None:
        """Returns None for an invalid query."""
        key = query, known.caller.role, known.issuer
        if key not in self._forms:
            if len(query) > MAX_QUERY_BYTES:
                return None
            if len(self._forms) >= MAX_FORMS:
                self._forms.clear()
            try:
                seen = visible(self._panels, known.caller.role, known.issued_by, own=True)
                parsed = parse(query, seen, self._budget_ms)
            except InvalidInput:
                return None
            self._forms[key] = Form(parsed, self._recall_s) if parsed.panels else None
        return self._forms[key]

    def _answer(
        self,
        protocol: FastPathProtocol,
        form: Form,
        known: Verified,
        request_id: str,
        limits: bytes,
        found: Sequence[Cached],
        timing: bytes,
        close: bytes = b"",
    ) -> bytes:
        """Head and body."""
        user_id = known.user_id.encode() if known.issuer is None else msgspec.json.encode(known.subject)[1:-1]
        parts = [b'{"user_id":"', user_id, b'","generated_at":"', self._stamps.of(time.time())]
        for opening, (data, age_ms) in zip(form.openings, found, strict=True):
            parts += (opening % age_ms, data)
        parts.append(b"}}}")
        body = b"".join(parts)
        default = protocol.server_state.default_headers
        date = b"date: %s\r\n" % default[0][1] if default else b""
        head = self._head % (date, timing, len(body), request_id.encode(), limits, close)
        form.fresh.times += 1
        return head + body

    def _record(self, status: int, started: float, request_id: str, trace_id: str) -> None:
        seconds = time.perf_counter() - started
        series = self._seconds if status else telemetry.requests_seconds(ROUTE, "GET", status)
        series.observe(seconds)
        logs.log_answered("GET", ROUTE, status, seconds * 1000, request_id, trace_id)
