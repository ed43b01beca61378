"""One request through the fast path and through FastAPI: two gateways side by side, and everything that each does."""

import contextlib
import difflib
import io
import json
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import structlog
from prometheus_client import REGISTRY

from shared.observability import logs
from shared.server.fast_path import ANSWERED, Exchange, FastPathProtocol
from shared.server.serve import Server
from tests.support.gateway.stub import PANELS_PATH
from tests.support.gateway.world import Start, World
from tests.support.http_corpus import LAST
from tests.support.http_sockets import heard
from tests.support.metrics import counts
from tests.support.served import port_of, served
from tests.support.spans import Recorded, recorded_into
from tests.support.waiting import eventually

COUNTED = re.compile(
    r"http_request_duration_seconds_count|unhandled_exceptions_total"
    r"|gateway_(panels|cache_lookups|cache_dropped|flights_joined|limited|shed|calls_refused|second_attempts"
    r"|recall_failures|breaker_changes|not_trusted)_total|gateway_(panel_seconds|batch_size)_count"
)
_MADE_UP = re.compile(
    rb"[0-9a-f]{32}|(?<=-)[0-9a-f]{16}(?=-)|(?<=date: )[^\r]+|(?<=;dur=)[0-9.]+(?=;desc=[^c])|(?<=;t=)\d+"
    rb"|(?<=retry-after: )\d{3,}"
    rb'|(?<="age_ms":)\d+|(?<="generated_at":")\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z|(?<=content-length: )\d{3,}'
    rb'|(?<="ms": )[0-9.]+|(?<="timestamp": ")[^"]+|(?<= ms=)[0-9.]+|^\d{4}-[0-9T:.-]+Z|127\.0\.0\.1:\d+'
)
"""Ids that a gateway makes up, times, ages, the lengths that they change, and the ports of stub services."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def comparable(text: bytes) -> bytes:
    """The text without what differs each time."""
    return _MADE_UP.sub(b"*", text)


class Counted(FastPathProtocol):
    """Counts what is taken, by how it is answered: at once, later, or by the application after all."""

    taken: ClassVar[Counter[str]] = Counter()

    def _take(self) -> Exchange | None:
        exchange = super()._take()
        if exchange is not None:
            self.taken["at once" if exchange is ANSWERED else "later"] += 1
        return exchange

    def hand_over(self, exchange: Exchange, additions: dict[str, Any]) -> None:
        self.taken["handed over"] += 1
        super().hand_over(exchange, additions)


@contextmanager
def log_lines(form: str, world: World) -> Iterator[io.StringIO]:
    """Within the block, log lines in this form go to the text that is yielded, as a gateway writes them."""
    root, known, requests = logging.getLogger(), structlog.get_config(), logs._requests
    handlers, level, text = root.handlers, root.level, io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            logs.configure("gateway", world.gateway.settings.model_copy(update={"log_format": form}))
            structlog.configure(cache_logger_on_first_use=False)  # loggers of modules would keep this for ever
            if form == "console":
                logs._requests = None
            yield text
        finally:
            root.handlers, logs._requests = handlers, requests
            root.setLevel(level)
            structlog.configure(**known)


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""Sent when the application first waits for the client to leave, so whether it is sent in time depends on the time."""


@dataclass
class Side:
    """One of both gateways."""

    world: World
    server: Server
    text: io.StringIO
    spans: list[Recorded]

    async def effects(self, raw: bytes, cut: int = 0) -> "Effects":
        """What comes of these requests on one connection, and of a last one that ends it."""
        services = (self.world.users, self.world.orders, self.world.worker)
        seen = [len(service.received) for service in services]
        before = counted()
        self.text.seek(0)
        self.text.truncate()
        self.spans.clear()
        answer = await heard(port_of(self.server), raw + LAST, cut)
        await eventually(lambda: self.world.gateway.reader.is_idle)
        if logs._requests is not None:
            logs._requests.write()
        more = counted()
        more.subtract(before)
        calls = [
            (request.target, comparable(request.body), _headers(request.headers))
            for service, first in zip(services, seen, strict=True)
            for request in service.received[first:]
            if request.path.startswith(PANELS_PATH)
        ]
        lines = [comparable(_sorted(_COLOUR.sub("", line)).encode()) for line in self.text.getvalue().splitlines()]
        return Effects(
            comparable(answer.replace(CONTINUE, b"")).splitlines(),
            sorted((name, value) for name, value in more.items() if value),
            sorted(lines),
            sorted(calls),
            sorted((span.name, repr(span.attributes.keys())) for span in self.spans),
        )


@dataclass
class Effects:
    """`answer` is all that the client is sent, `calls` what services were asked."""

    answer: list[bytes]
    counted: list[Any]
    logged: list[bytes]
    calls: list[Any]
    spans: list[Any]


def differences(fast: Effects, plain: Effects) -> Iterator[str]:
    """What only one of both has, by kind.

    Equal calls count as one: a call is sent again if the service has closed its connection, and which connections are
    open depends on the time. `gateway_batch_size_count` counts the calls.
    """
    for kind in vars(fast):
        ours, theirs = (list(map(repr, getattr(each, kind))) for each in (fast, plain))
        if kind == "calls":
            ours, theirs = sorted(set(ours)), sorted(set(theirs))
        if ours != theirs:
            yield f"{kind}: " + "; ".join(line for line in difflib.ndiff(ours, theirs) if line[0] in "+-")


@dataclass
class BothWays:
    """The one with the fast path, and the one without."""

    fast: Side
    plain: Side
    taken: Counter[str]

    @contextmanager
    def recording(self, share: float | None) -> Iterator[None]:
        """Within the block this share of the traces is recorded; for None tracing is off."""
        if share is None:
            yield
        else:
            with recorded_into(self.fast.spans, share):
                yield

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.fast, self.plain

    async def same(self, raw: bytes, cut: int = 0) -> Effects:
        """What both do, which must be the same."""
        fast, plain = [await side.effects(raw, cut) for side in self.sides]
        assert not (wrong := list(differences(fast, plain))), (raw[:2000], wrong)
        return fast


def _is_trusted(world: World) -> bool:
    return world.gateway.cache.enabled


def _sorted(line: str) -> str:
    """A line of JSON with its names in order: that of ours depends on where a line is written."""
    return json.dumps(json.loads(line), sort_keys=True) if line.startswith("{") else line


def _headers(headers: list[tuple[str, str]]) -> list[bytes]:
    told = [f"{name}: {value}".encode() for name, value in headers if name.lower() not in ("authorization", "host")]
    return [comparable(re.sub(rb"(?<=[Mm]s: )\d+", b"*", each)) for each in told]


def counted() -> Counter[Any]:
    """The counters that requests change."""
    found = counts(name for name in REGISTRY._names_to_collectors if COUNTED.fullmatch(name))
    return Counter({key: value for key, value in found.items() if "/livez" not in dict(key[1:]).values()})


@asynccontextmanager
async def both_ways(start: Start, form: str = "json", **settings: Any) -> AsyncIterator[BothWays]:
    """Two gateways with these settings, whose caches are trusted, and which log in this form."""
    spans: list[Recorded] = []
    Counted.taken.clear()
    async with AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(start(**settings)) for _ in range(2)]
        for world in worlds:
            await eventually(partial(_is_trusted, world))
        worlds[1].app.fast_path = None  # type: ignore[attr-defined]
        text = stack.enter_context(log_lines(form, worlds[0]))
        servers = [await stack.enter_async_context(served(world.app, Server, Counted)) for world in worlds]
        fast, plain = (Side(world, server, text, spans) for world, server in zip(worlds, servers, strict=True))
        yield BothWays(fast, plain, Counted.taken)
