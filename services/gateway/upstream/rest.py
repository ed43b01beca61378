"""REST panels: one GET for each panel and person, from any service that speaks HTTP and JSON.

`RestService.fetch` is the way of one call, and its policies in their order: the deadline of the callers who wait, a
second attempt, the circuit breaker, the semaphore of the service, and the request itself.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import cache, lru_cache, partial
from http import HTTPStatus
from math import inf
from urllib.parse import quote

import httpx
import msgspec

from services.gateway import metrics
from services.gateway.panels import Panel, Panels, ServiceSpec, Subject
from services.gateway.settings import Tuning
from services.gateway.upstream.attempts import Attempts
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import (
    BadAnswer,
    Forbidden,
    MissingValue,
    NotTrusted,
    Overloaded,
    Refused,
    TooLate,
    Unreachable,
    UpstreamFailed,
)
from services.gateway.upstream.health import Probed, Probing
from services.gateway.upstream.http1 import Headers
from services.gateway.upstream.panel_protocol import USER_MISSING, Answer
from services.gateway.upstream.resilience import MAX_PANEL_BYTES, Policies, slow_s
from services.gateway.upstream.rest_client import NO_BODY, body_of
from services.gateway.upstream.single_flight import InFlightRead
from services.gateway.upstream.timers import Timers
from shared.contracts.panels import DEADLINE_HEADER
from shared.http.application import REQUEST_ID_HEADER
from shared.observability import telemetry, tracing
from shared.observability.logs import get_logger
from shared.observability.telemetry import Origin
from shared.observability.tracing import Kind

log = get_logger(__name__)

Clock = Callable[[], float]

NO_DATA = Answer(b"null")
"""The service knows the person, and has nothing about them."""
LONGEST_PAUSE_S = 60.0
"""A service that asks for a longer pause (`Retry-After`) is called again after this."""
EMPTY = (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT)
_IN_TARGETS = "%/?:@!$&'()*+,;=[]"
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_DEADLINE, _REQUEST_ID = DEADLINE_HEADER.encode(), REQUEST_ID_HEADER.encode()
_raw = msgspec.json.Decoder(msgspec.Raw)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])


class Reply(msgspec.Struct, frozen=True, gc=False):
    """A whole response."""

    status: int
    body: bytes
    retry_after: str = ""


class Get(msgspec.Struct, frozen=True):
    """One panel of one person: what to request, and for whom. `deadline` returns until when any caller waits (monotonic
    seconds)."""

    panel: Panel
    target: bytes
    subject: Subject
    origin: Origin
    deadline: Callable[[], float]


class RestService:
    """Reads the REST panels of one service. A read ends when all its callers have left."""

    def __init__(
        self,
        spec: ServiceSpec,
        upstream: Upstream,
        client: httpx.AsyncClient,
        tuning: Tuning,
        timers: Timers,
        clock: Clock = time.monotonic,
    ) -> None:
        self.upstream = upstream
        self.policies = Policies.of(spec.name, spec.concurrency, tuning, clock)
        self._spec = spec
        self._clock = clock
        self._client = client
        self._span_name = f"GET {spec.name}"
        self._slots = asyncio.Semaphore(spec.concurrency)
        self._timers = timers
        self._urls = [_with_base(url) for url in spec.urls.split(",")]
        self._paused_until = 0.0
        self._reads: dict[InFlightRead, asyncio.Task[None]] = {}
        self._last: Get | None = None
        self._probing = Probing(spec.name, self.policies.breaker, self._probe)

    @property
    def is_suspended(self) -> bool:
        return self.policies.is_suspended

    @property
    def is_idle(self) -> bool:
        return not self._reads

    # -- as the runner of reads

    def add(self, read: InFlightRead, panels: Panels) -> None:
        """Fetch these panels of a person at once."""
        now = self._clock()
        read.sent[panels[0].runner] = now, now + max([panel.timeout_s for panel in panels])
        # In a separate context: other requests may join the read, which then outlives the first.
        task = asyncio.get_running_loop().create_task(self._read(read, panels), context=Context())
        self._reads[read] = task
        task.add_done_callback(lambda _: self._reads.pop(read, None))

    def abandon(self, read: InFlightRead) -> None:
        """Its result is no longer needed."""
        if (task := self._reads.get(read)) is not None:
            task.cancel()

    def close(self) -> None:
        """Stop the background work; reads in flight end by themselves."""
        self._probing.close()

    async def drained(self) -> None:
        """Return when no read is in flight."""
        while self._reads:
            await asyncio.wait(self._reads.values())

    async def _read(self, read: InFlightRead, panels: Panels) -> None:
        if len(panels) == 1:  # needs no further task
            await self._resolve(read, panels[0])
        else:
            await asyncio.gather(*(self._resolve(read, panel) for panel in panels))

    async def _resolve(self, read: InFlightRead, panel: Panel) -> None:
        subject = read.subject or Subject(read.user_id)
        try:
            answer = await self.fetch(panel, subject, read.origin, lambda: read.deadline(panel.timeout_s))
        except Exception:
            log.exception("panel failed", panel=panel.name)
            answer = Answer(error="internal")
        read.resolve({panel.name: answer})

    # -- the way of one call

    async def fetch(self, panel: Panel, subject: Subject, origin: Origin, deadline: Callable[[], float]) -> Answer:
        """Return the panel of one person, or why there is none. Raises no errors of the service."""
        try:
            target = target_of(panel.get, subject)
            get = self._last = Get(panel, target, subject, origin, deadline)
            self._probing.note((panel,), ())
            hedge_at = self._clock() + self.policies.hedge((panel,)).after_s
            return await Attempts(
                partial(self._attempt, get), deadline, hedge_at, self._may_repeat, self._timers
            ).outcome()
        except UpstreamFailed as failure:
            if not isinstance(failure, (TooLate, MissingValue)):
                log.warning("panel failed", panel=panel.name, code=failure.code, reason=str(failure))
            return Answer(error=failure.code)

    async def _attempt(self, get: Get, number: int, *, probe: bool = False) -> Answer:
        """Send one request, and report its outcome to the breaker. Raises `UpstreamFailed`."""
        span = tracing.under(get.origin.trace, self._span_name, Kind.CLIENT)
        if span.recorded:
            span.set({"peer.service": self._spec.name, "dashboard.call.panels": get.panel.name})
            span.set({"dashboard.call.attempt": number + 1})
        self._respect_pause()
        permit = self.policies.breaker.admit(probe=probe)
        began: float | None = None
        failed: bool | None = None
        try:
            async with self._slots:
                began = self._clock()
                self.policies.bulkhead.take()
                self.policies.retries.pay_in()
                try:
                    reply = await self._send(get, span)
                finally:
                    self.policies.bulkhead.give_back()
            answer = interpret(get.panel, reply, forwarded="authorization" in get.subject.headers)
            failed = self._is_slow(get, began)
        except Overloaded as full:
            self._pause(full)
            raise
        except UpstreamFailed as failure:
            span.fail(type(failure).__name__)
            failed = None if isinstance(failure, Refused) else True
            if isinstance(failure, NotTrusted):
                self.upstream.count_distrust(get.target.decode(), failure)
            raise
        except asyncio.CancelledError:
            # It took too long, or is no longer needed.
            failed = True if began is not None and self._is_slow(get, began) else None
            if began is None and self._clock() >= get.deadline():
                metrics.CALLS_REFUSED.labels(self._spec.name, "overloaded").inc()
            raise
        else:
            return answer
        finally:
            self._report(get.panel, permit, failed, began, span)

    def _is_slow(self, get: Get, began: float) -> bool:
        return self._clock() - began >= slow_s((get.panel,))

    def _report(self, panel: Panel, permit: int, failed: bool | None, began: float | None, span: tracing.Span) -> None:
        """Tell breaker and metrics the outcome; `failed` is None if it says nothing about the service."""
        if began is not None and failed is not None:
            seconds = self._clock() - began
            self.policies.hedge((panel,)).observe(seconds)
            metrics.PANEL_SECONDS.labels(panel.name).observe(seconds, tracing.exemplar_of(span))
        if failed is None:
            self.policies.breaker.forget(permit)
        else:
            self.policies.breaker.record(permit, failed=failed)
        self._probing.wake()
        span.end()

    async def _send(self, get: Get, span: tracing.Span) -> Reply:
        """Send the request to a replica that can be connected to. Raises `UpstreamFailed`."""
        unreachable = Unreachable("no replica")
        for replica in self.upstream.replicas.in_turn():
            suspicion = self.upstream.replicas.watch(replica)
            try:
                reply = await self._exchange(replica, get, span)
            except Unreachable as failure:
                self.upstream.replicas.failed(replica)
                unreachable = failure
            else:
                self.upstream.replicas.answered(replica)
                return reply
            finally:
                if suspicion is not None:
                    suspicion.cancel()
        raise unreachable

    async def _exchange(self, replica: int, get: Get, span: tracing.Span) -> Reply:
        url, base = self._urls[replica]
        whole = {"target": base + get.target}
        request = httpx.Request("GET", url, headers=self._headers(get, span), stream=NO_BODY, extensions=whole)
        response = await self._client.send(request)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused("the body has a content encoding")
        is_busy = response.status_code == HTTPStatus.TOO_MANY_REQUESTS
        return Reply(
            response.status_code, body_of(response), response.headers.get("Retry-After", "") if is_busy else ""
        )

    def _headers(self, get: Get, span: tracing.Span) -> Headers:
        """Return the headers of one request; those of all requests are the client's."""
        trace = span.trace if isinstance(span, tracing.Recorded) else get.origin.trace
        remaining_ms = max(1, int((get.deadline() - self._clock()) * 1000))
        headers = [
            (_DEADLINE, b"%d" % remaining_ms),
            (_REQUEST_ID, get.origin.request_id.encode()),
            (b"traceparent", str(trace).encode()),
        ]
        if self._spec.forward:
            given = get.subject.headers
            headers += [(name.encode(), given[name].encode("latin-1")) for name in self._spec.forward if name in given]
        return headers

    def _may_repeat(self, failure: UpstreamFailed | None) -> bool:
        if self._slots.locked() or not self.policies.may_repeat(failure):
            return False
        metrics.SECOND_ATTEMPTS.labels(self._spec.name, "failure" if failure else "slow").inc()
        return True

    def _respect_pause(self) -> None:
        if self._clock() < self._paused_until:
            metrics.CALLS_REFUSED.labels(self._spec.name, "overloaded").inc()
            raise Overloaded("the service has asked for a pause")

    def _pause(self, full: Overloaded) -> None:
        if full.pause_s:
            self._paused_until = max(self._paused_until, self._clock() + min(full.pause_s, LONGEST_PAUSE_S))

    def _probe(self, _panels: Panels, _user_ids: Sequence[str], probed: Probed) -> None:
        """Repeat the most recent request, without a caller."""
        asyncio.get_running_loop().create_task(self._probe_once(probed), context=Context())

    async def _probe_once(self, probed: Probed) -> None:
        get = self._last
        if get is None:
            return
        ends = self._clock() + get.panel.timeout_s
        again = Get(get.panel, get.target, get.subject, telemetry.begin(), lambda: ends)
        try:
            once = partial(self._attempt, again, probe=True)
            await Attempts(once, again.deadline, inf, lambda _: False, self._timers).outcome()
            probed(None)
        except UpstreamFailed as failure:
            probed(failure)


def _with_base(url: str) -> tuple[httpx.URL, bytes]:
    """Return a service's URL, parsed once for all requests, and the path before their own."""
    parsed = httpx.URL(url)
    return parsed, parsed.raw_path.rstrip(b"/")


def target_of(template: str, subject: Subject) -> bytes:
    """Return the path for a person, each value percent-encoded as one segment. Raises `MissingValue` for a value that
    is missing, empty, or a dot segment."""
    parts = []
    for literal, name in _parts(template):
        parts.append(literal)
        if name:
            value = subject.id if name == "user_id" else _text(subject.claims.get(name.removeprefix("claim:")))
            if value in ("", ".", ".."):
                raise MissingValue(f"the token has no usable value for {{{name}}}")
            parts.append(_segment(value))
    return "".join(parts).encode("ascii")


@lru_cache(maxsize=1024)
def _segment(value: str) -> str:
    return quote(value, safe="")


@cache
def _parts(template: str) -> list[tuple[str, str]]:
    """Return the text before each variable, percent-encoded where URLs demand it, and the variable's name; the last has
    no variable."""
    pieces = [*_VARIABLE.split(template), ""]
    return [(quote(text, safe=_IN_TARGETS), name) for text, name in zip(pieces[::2], pieces[1::2], strict=True)]


def _text(claim: object) -> str:
    if claim is None:
        return ""
    return str(claim).lower() if isinstance(claim, bool) else str(claim)


def interpret(panel: Panel, reply: Reply, *, forwarded: bool = False) -> Answer:
    """Return the panel in a response. Raises `UpstreamFailed`.

    `forwarded`: whether the request had the caller's own credentials, so that a refusal concerns the caller.
    """
    status = reply.status
    if status in EMPTY:
        return NO_DATA
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return _panel_in(panel, reply.body)
    if status == HTTPStatus.NOT_FOUND:
        return USER_MISSING if panel.knows_users else NO_DATA
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise Forbidden(f"status {status}") if forwarded else NotTrusted(f"status {status}")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Overloaded(f"status {status}", pause_s=pause_in(reply.retry_after))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise BadAnswer(f"status {status}")
    raise Refused(f"status {status}")


def pause_in(retry_after: str) -> float:
    """Return the seconds in a `Retry-After` header; 1 for a date or anything else."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 9 else 1.0


def _panel_in(panel: Panel, body: bytes) -> Answer:
    if len(body) > MAX_PANEL_BYTES:
        raise Refused(f"more than {MAX_PANEL_BYTES} bytes")
    try:
        body.decode()  # msgspec does not validate the text in raw JSON
        found = _raw.decode(body)
        for part in panel.pick:
            found = _member(found, part)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise BadAnswer(f"not JSON: {broken}") from broken
    data = bytes(found)
    if data == NO_DATA.data:
        return NO_DATA
    if not data.startswith(panel.opening):
        raise Refused(f"not the declared kind, {panel.kind}")
    return Answer(data)


def _member(value: msgspec.Raw, part: str) -> msgspec.Raw:
    """Return one step of a JSON pointer. Raises `Refused` if the value has no such member."""
    try:
        if bytes(value).startswith(b"["):
            items = _list.decode(value)
            if not (part.isascii() and part.isdigit()) or int(part) >= len(items):
                raise Refused(f"no {part!r} in the response")
            return items[int(part)]
        return _object.decode(value)[part]
    except (msgspec.ValidationError, KeyError) as missing:
        raise Refused(f"no {part!r} in the response") from missing
