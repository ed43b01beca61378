"""Each piece of bookkeeping in the ordinary way and in ours, as functions that repeat it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import msgspec
import prometheus_client
import structlog
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE

from services.gateway.catalog.catalog import packaged
from services.gateway.dashboard.fast_path import ROUTE
from services.gateway.dashboard.models import assemble, parse
from services.gateway.dashboard.pending import Form
from services.gateway.limits.cors import security_headers
from services.gateway.limits.windows import Policy
from services.gateway.metrics import Tally
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.timers import Timers
from shared.clock import Stamps, now
from shared.http.tokens import key_id, verify_user_token
from shared.observability.histogram import Histogram
from shared.observability.request_log import RequestLog
from shared.observability.telemetry import new_ids
from tools.lab.bench.contestants import Audience
from tools.lab.bench.inner_gateway import DATE, END, InnerGateway, inner_settings, request_heads
from tools.lab.bench.stub import PANELS

Turn = Callable[[int], Awaitable[None]]
"""Does an operation a number of times."""
NAMES = tuple(PANELS)
LABELS = [(name, "fresh", "") for name in NAMES]
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SECONDS, MS, LATER_S = 0.004, 4.0, 0.5
"""The values that are observed and logged, and the delay of a timer."""
CALLERS = (1, 64)


@dataclass(frozen=True)
class Item:
    """One operation. The ordinary way comes first and ours last; others may come between them.

    `uncached` and `cached` are how often a dashboard of one caller needs the operation. It is done in multiples of
    `step`.
    """

    name: str
    ways: Mapping[str, Turn]
    uncached: int = 1
    cached: int = 1
    step: int = 1


def repeated(operation: Callable[[], object]) -> Turn:
    async def turn(times: int) -> None:
        for _ in range(times):
            operation()

    return turn


def histogram() -> Item:
    """An uncached dashboard observes the request, and for each panel the duration and the size of its call."""
    ordinary = prometheus_client.Histogram("bench_seconds", "Ordinary.", ["route"], buckets=BUCKETS).labels(ROUTE)
    ours = Histogram("bench_own_seconds", "Ours.", ["route"], BUCKETS).labels(ROUTE)
    ways = {
        "prometheus_client, labels kept": repeated(lambda: ordinary.observe(SECONDS)),
        "numbers in a list": repeated(lambda: ours.observe(SECONDS)),
    }
    return Item("histogram observation", ways, uncached=1 + 2 * len(NAMES))


def counters() -> Item:
    """Cached panels are also counted as cache hits."""
    ordinary = prometheus_client.Counter("bench_panels", "Ordinary.", ["panel", "status", "code"])
    kept = [ordinary.labels(*labels) for labels in LABELS]
    tally = Tally("bench_own_panels_total", "Ours.", ["panel", "status", "code"])
    group = tally.group(*LABELS)

    def count_each() -> None:
        for counter in kept:
            counter.inc()

    def count_in_dict() -> None:
        for labels in LABELS:
            tally.counts[labels] += 1

    def count_group() -> None:
        group.times += 1

    ways = {
        "prometheus_client, labels kept": repeated(count_each),
        "`Tally.counts`": repeated(count_in_dict),
        "`Group`": repeated(count_group),
    }
    return Item("counting four labels", ways, cached=2)


class Line(msgspec.Struct):
    """A request's log line, for an encoder."""

    service: str
    request_id: str
    trace_id: str
    method: str
    route: str
    status: int
    ms: float
    event: str
    level: str
    logger: str
    timestamp: datetime


def log_line() -> Item:
    """All three ways write to the null device. The last two write all lines of a turn at once."""
    request_id, trace_id, _ = new_ids()
    logger = structlog.stdlib.get_logger("bench")
    ours = RequestLog("gateway", "bench")
    encoder = msgspec.json.Encoder()

    def log_ordinarily() -> None:
        logger.info("request", method="GET", route=ROUTE, status=200, ms=MS, request_id=request_id, trace_id=trace_id)

    async def encode(times: int) -> None:
        lines = [
            Line("gateway", request_id, trace_id, "GET", ROUTE, 200, MS, "request", "info", "bench", now())
            for _ in range(times)
        ]
        print(encoder.encode_lines(lines).decode(), flush=True)

    async def fill(times: int) -> None:
        for _ in range(times):
            ours.add("GET", ROUTE, 200, MS, request_id, trace_id)
        ours.write()

    ways = {"structlog through logging": repeated(log_ordinarily), "msgspec": encode, "filled form": fill}
    return Item("log line of a request", ways)


def ids() -> Item:
    ways = {
        "`uuid4().hex` twice": repeated(lambda: (uuid4().hex, uuid4().hex)),
        "`getrandbits` in f-strings": repeated(
            lambda: (f"{random.getrandbits(128):032x}", f"{random.getrandbits(128):032x}")
        ),
        "one draw, cut in two": repeated(new_ids),
    }
    return Item("request id and trace id", ways)


def head() -> Item:
    request_id = new_ids()[0].encode()
    timing, length = b", ".join([b"%s;dur=0.0;desc=cache" % name.encode() for name in NAMES]), 5000
    always = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"private, no-store"),
        (b"dashboard-complete", b"true"),
        *security_headers(inner_settings()),
    ]
    form = b"".join([STATUS_LINE[200], b"date: %s\r\n", *[b"%s: %s\r\n" % each for each in always]])
    form += b"server-timing: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\n\r\n"

    def join() -> bytes:
        told = [(b"server-timing", timing), (b"content-length", b"%d" % length), (b"x-request-id", request_id)]
        return joined([(b"date", DATE), *always, *told])

    ways = {
        "list of headers, checked and joined": repeated(join),
        "filled form": repeated(lambda: form % (DATE, timing, length, request_id)),
    }
    return Item("head of the answer", ways)


def joined(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the head as uvicorn writes it."""
    content, close = [STATUS_LINE[200]], False
    for name, value in headers:
        if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
            raise ValueError(name)
        lower = name.lower()
        if lower == b"content-length":
            int(value.decode())
        elif lower == b"transfer-encoding":
            raise ValueError(value)
        elif lower == b"connection":
            close = b"close" in value
        content.extend([lower, b": ", value, b"\r\n"])
    content.append(b"connection: close\r\n\r\n" if close else b"\r\n")
    return b"".join(content)


def limit_headers() -> Item:
    policy = Policy("read", 12_000, 60)
    ways = {
        "`Policy.headers`, joined": repeated(
            lambda: b"".join([b"%s: %s\r\n" % header for header in policy.headers(11_000, time.time())])
        ),
        "`Policy.lines`": repeated(lambda: policy.lines % (11_000, 30)),
    }
    return Item("RateLimit headers", ways)


def token(inner: InnerGateway, audience: Audience) -> Item:
    """The token is that of a caller whom the gateway knows."""
    authorization = audience.with_tokens({})[0].headers["Authorization"].encode()
    text = authorization[7:].decode()
    key = inner.gateway.keys.keys[key_id(text)]
    ways = {
        "PyJWT, EdDSA": repeated(lambda: verify_user_token(text, key)),
        "lookup by hash": repeated(lambda: inner.gateway.authenticator.known(authorization)),
    }
    return Item("verified token", ways)


def body() -> Item:
    user_id = uuid4()
    text = str(user_id).encode()
    form, stamps = Form(parse(b"", packaged().panels, 1000), 0.0), Stamps()
    encoder = msgspec.json.Encoder()
    answers = {name: Answer(PANELS[name]) for name in NAMES}

    def encode() -> bytes:
        return encoder.encode(assemble(str(user_id), now(), answers, {}))

    def join() -> bytes:
        parts = [b'{"user_id":"', text, b'","generated_at":"', stamps.of(time.time())]
        for opening, name in zip(form.openings, form.names, strict=True):
            parts += (opening % 0, PANELS[name])
        parts.append(END)
        return b"".join(parts)

    return Item("body", {"msgspec, raw panels": repeated(encode), "joined bytes": repeated(join)})


class NeverDue:
    """A wait whose answer always arrives in time."""

    def __init__(self, due: float) -> None:
        self.due = due

    def look(self, now: float) -> None:
        self.due = now + LATER_S


def timer() -> Item:
    """An uncached dashboard needs one timer for itself and one for each of its three calls."""
    timers = Timers()

    async def with_loop(times: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(times):
            loop.call_later(LATER_S, print).cancel()

    def with_timers() -> None:
        waiting = NeverDue(timers.clock() + LATER_S)
        timers.add(waiting)
        timers.remove(waiting)

    ways = {"`call_later`, `cancel`": with_loop, "`Timers.add`, `remove`": repeated(with_timers)}
    return Item("timer of a wait", ways, uncached=4, cached=0)


class LastAnswer:
    """A receiver that stores its results."""

    def __init__(self) -> None:
        self.body = b""

    def received(self, body: bytes) -> None:
        self.body = body


async def answer_of(future: asyncio.Future[bytes]) -> bytes:
    return await future


async def with_tasks(times: int) -> None:
    """Make this many concurrent calls, all of which wait before they are answered."""
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(times)]
    calls = [loop.create_task(answer_of(future)) for future in futures]
    await asyncio.sleep(0)
    for future in futures:
        future.set_result(b"")
    for call in calls:
        await call


async def with_callbacks(times: int) -> None:
    receivers = [LastAnswer() for _ in range(times)]
    for receiver in receivers:
        receiver.received(b"")


def call() -> Item:
    """An uncached dashboard makes one call to each of the three services."""
    ways = {"task and future": with_tasks, "callback": with_callbacks}
    return Item("answer of a call", ways, uncached=3, cached=0)


async def whole(inner: InnerGateway, audience: Audience) -> list[Item]:
    """Return the operation of a whole dashboard, from the bytes of the request to the bytes of the answer."""
    items = []
    for kind, more in (("uncached", "Cache-Control: no-cache\r\n"), ("cached", "")):
        for count in CALLERS:
            heads = request_heads(audience, more)[:count]
            ways = {way: await asked(inner, heads, fast=way == FAST) for way in (ASGI, FAST)}
            items.append(Item(f"{kind}, {count} caller{'s' if count > 1 else ''}", ways, step=count))
    return items


ASGI, FAST = "application (ASGI)", "fast path"


async def asked(inner: InnerGateway, heads: Sequence[bytes], *, fast: bool) -> Turn:
    callers = inner.callers(len(heads), fast=fast)
    await callers.check(heads, fast=fast)

    async def turn(times: int) -> None:
        for _ in range(times // len(heads)):
            await callers.ask(heads)

    return turn


def parts(inner: InnerGateway, audience: Audience) -> list[Item]:
    """Return all operations except the whole dashboard."""
    return [
        histogram(),
        counters(),
        log_line(),
        ids(),
        head(),
        limit_headers(),
        token(inner, audience),
        body(),
        timer(),
        call(),
    ]
