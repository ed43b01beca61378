"""REST panels: one GET for each panel and person, from any service that speaks HTTP and JSON.

`RestService.fetch` is the way of one call, and its policies in their order: the deadline of the callers who wait, a
second attempt, the circuit breaker, the semaphore of the service, and the request itself.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar
from urllib.parse import quote

import httpx
import msgspec
from pyqwest.httpx import AsyncPyqwestTransport

from services.gateway import metrics
from services.gateway.panels import Panel, Panels, ServiceSpec, Subject
from services.gateway.settings import Tuning
from services.gateway.upstream.client import Upstream, http_transport
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
from services.gateway.upstream.panel_protocol import USER_MISSING, Answer
from services.gateway.upstream.resilience import MAX_PANEL_BYTES, Policies, slow_s
from services.gateway.upstream.single_flight import InFlightRead
from shared.contracts.panels import DEADLINE_HEADER
from shared.http.application import REQUEST_ID_HEADER
from shared.observability import telemetry, tracing
from shared.observability.logs import get_logger
from shared.observability.telemetry import Origin
from shared.observability.tracing import Kind

log = get_logger(__name__)

T = TypeVar("T")
Clock = Callable[[], float]

NO_DATA = Answer(b"null")
"""The service knows the person, and has nothing about them."""
LONGEST_PAUSE_S = 60.0
"""A service that asks for a longer pause (`Retry-After`) is called again after this."""
CONNECT_TIMEOUT_S = 1.0
"""The timeout for connecting, TLS included."""
NO_TIMEOUT = httpx.Timeout(None)
EMPTY = (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT)
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_ACCEPT = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "dashboard-gateway"}
_raw = msgspec.json.Decoder(msgspec.Raw)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True)
class Reply:
    """A whole response."""

    status: int
    body: bytes
    retry_after: str = ""


@dataclass(frozen=True)
class Get:
    """One panel of one person: what to request, and for whom. `deadline` returns until when any caller waits (monotonic
    seconds)."""

    panel: Panel
    target: str
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
        clock: Clock = time.monotonic,
    ) -> None:
        self.upstream = upstream
        self.policies = Policies.of(spec.name, spec.concurrency, tuning, clock)
        self._spec = spec
        self._clock = clock
        self._client = client
        self._slots = asyncio.Semaphore(spec.concurrency)
        self._urls = [url.rstrip("/") for url in spec.urls.split(",")]
        self._headers = dict(spec.headers)
        self._paused_until = 0.0
        self._reads: dict[InFlightRead, asyncio.Task[None]] = {}
        self._last: Get | None = None
        self._probing = Probing(spec.name, self.policies.breaker, self._probe)

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
            after_s = self.policies.hedge((panel,)).after_s
            attempts = hedged(lambda number: self._attempt(get, number), after_s, self._may_repeat)
            return await within(deadline, self._clock, attempts)
        except UpstreamFailed as failure:
            if not isinstance(failure, (TooLate, MissingValue)):
                log.warning("panel failed", panel=panel.name, code=failure.code, reason=str(failure))
            return Answer(error=failure.code)

    async def _attempt(self, get: Get, number: int, *, probe: bool = False) -> Answer:
        """Send one request, and report its outcome to the breaker. Raises `UpstreamFailed`."""
        span = tracing.under(get.origin.trace, f"GET {self._spec.name}", Kind.CLIENT)
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
                self.upstream.count_distrust(get.target, failure)
            raise
        except asyncio.CancelledError:
            # No caller waits any more: slow, or no longer needed.
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
            try:
                with self.upstream.replicas.watched(replica):
                    url = self._urls[replica] + get.target
                    reply = await send(self._client, "GET", url, self._request_headers(get, span))
            except Unreachable as failure:
                self.upstream.replicas.failed(replica)
                unreachable = failure
            else:
                self.upstream.replicas.answered(replica)
                return reply
        raise unreachable

    def _request_headers(self, get: Get, span: tracing.Span) -> dict[str, str]:
        trace = span.trace if isinstance(span, tracing.Recorded) else get.origin.trace
        remaining_ms = max(1, int((get.deadline() - self._clock()) * 1000))
        forwarded = {name: get.subject.headers[name] for name in self._spec.forward if name in get.subject.headers}
        return {
            **self._headers,
            **forwarded,
            DEADLINE_HEADER: str(remaining_ms),
            REQUEST_ID_HEADER: get.origin.request_id,
            "traceparent": str(trace),
        }

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
            await within(again.deadline, self._clock, self._attempt(again, 0, probe=True))
            probed(None)
        except UpstreamFailed as failure:
            probed(failure)


@asynccontextmanager
async def rest_client(tuning: Tuning) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP client of one service: pooled, without cookies, redirects or proxies. Deadlines are those of its
    callers."""
    no_cookies = CookieJar(policy=DefaultCookiePolicy(allowed_domains=()))
    async with http_transport(CONNECT_TIMEOUT_S, tuning.read_timeout_s) as transport:
        sender = AsyncPyqwestTransport(transport)
        async with httpx.AsyncClient(
            transport=sender, timeout=NO_TIMEOUT, cookies=no_cookies, trust_env=False
        ) as client:
            client.headers = httpx.Headers()
            yield client


async def send(
    client: httpx.AsyncClient, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
) -> Reply:
    """Send a request, and return the whole response. Raises `UpstreamFailed`."""
    try:
        request = client.build_request(method, url, headers=_ACCEPT | dict(headers), content=content)
        response = await client.send(request, stream=True)
        try:
            return Reply(response.status_code, await _body(response), response.headers.get("Retry-After", ""))
        finally:
            await response.aclose()
    except (httpx.ConnectError, httpx.ConnectTimeout) as failure:
        raise Unreachable(str(failure)) from failure
    except httpx.TimeoutException as failure:
        raise TooLate(str(failure)) from failure
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as failure:
        raise BadAnswer(f"{type(failure).__name__}: {failure}") from failure


def target_of(template: str, subject: Subject) -> str:
    """Return the path for a person, each value percent-encoded as one segment. Raises `MissingValue` for a value that
    is missing, empty, or a dot segment."""

    def encoded(variable: re.Match[str]) -> str:
        name = variable[1]
        value = subject.id if name == "user_id" else _text(subject.claims.get(name.removeprefix("claim:")))
        if value in ("", ".", ".."):
            raise MissingValue(f"the token has no usable value for {{{name}}}")
        return quote(value, safe="")

    return _VARIABLE.sub(encoded, template)


def _text(claim: object) -> str:
    if claim is None:
        return ""
    return str(claim).lower() if isinstance(claim, bool) else str(claim)


def interpret(panel: Panel, reply: Reply, *, forwarded: bool = False) -> Answer:
    """Return the panel in a response. Raises `UpstreamFailed`.

    `forwarded`: whether the request had the caller's own credentials, so that a refusal concerns the caller.
    """
    status = reply.status
    if status == HTTPStatus.NOT_FOUND:
        return USER_MISSING if panel.knows_users else NO_DATA
    if status in EMPTY:
        return NO_DATA
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return _panel_in(panel, reply.body)
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


async def within(deadline: Callable[[], float], clock: Clock, work: Awaitable[T]) -> T:
    """Return the result of the work, if it comes before the deadline, which may be extended meanwhile. Raises
    `TooLate`."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done() and (left_s := deadline() - clock()) > 0:
            await asyncio.wait({task}, timeout=left_s)
        if task.done():
            return task.result()
    finally:
        task.cancel()
    raise TooLate("no response in time")


async def hedged(
    attempt: Callable[[int], Awaitable[T]], after_s: float, may_repeat: Callable[[UpstreamFailed | None], bool]
) -> T:
    """Return the first success of one or two attempts: the second starts when the first has failed, or has taken
    `after_s`. Raises the failure of the first."""
    running = {asyncio.ensure_future(attempt(0))}
    attempts, first_failure = 1, None
    try:
        while running:
            is_alone = attempts == 1
            timeout_s = after_s if is_alone and after_s < float("inf") else None
            done, running = await asyncio.wait(running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    return task.result()
                except UpstreamFailed as failure:
                    first_failure = first_failure or failure
            if is_alone and may_repeat(first_failure):
                running.add(asyncio.ensure_future(attempt(1)))
            attempts = 2
    finally:
        for task in running:
            task.cancel()
    raise first_failure or TooLate


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


async def _body(response: httpx.Response) -> bytes:
    """Read the body, up to the largest panel. Raises `BadAnswer` if it is packed, although that was not asked for."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused("the body has a content encoding")
    chunks, size = [], 0
    async for chunk in response.aiter_raw():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_PANEL_BYTES:
            raise Refused(f"more than {MAX_PANEL_BYTES} bytes")
    return b"".join(chunks)
