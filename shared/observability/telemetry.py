"""Trace context (W3C) of what is being done, and the metrics that every process has."""

import random
import re
from contextvars import ContextVar
from functools import lru_cache
from typing import ClassVar

import msgspec
from prometheus_client import Counter, disable_created_metrics
from prometheus_client import Histogram as LockedHistogram

from shared.observability.histogram import Histogram, Series

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")

SAMPLED, NOT_SAMPLED = "01", "00"

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody reads

HTTP_REQUESTS = Histogram(
    "http_request_duration_seconds",
    "Duration of HTTP requests by route template, method and status.",
    ["route", "method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
LOOP_LAG = LockedHistogram(
    "event_loop_lag_seconds",
    "How late the event loop was, looked at ten times a second.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
UNHANDLED = Counter("unhandled_exceptions_total", "Exceptions that reached the edge of the process.", ["route"])


@lru_cache(maxsize=1024)
def requests_seconds(route: str, method: str, status: int) -> Series:
    """The one series of `HTTP_REQUESTS`; looking it up by its labels costs more than observing."""
    return HTTP_REQUESTS.labels(route, method, status)


def random_hex(digits: int) -> str:
    """An id that tells one thing from another. It keeps no secret: who knows some may guess the next."""
    return random.getrandbits(4 * digits).to_bytes(digits // 2, "big").hex()


class Trace(msgspec.Struct, frozen=True, gc=False):
    """One position in a trace: `trace_id` 32 and `span_id` 16 hex digits; `flags` say whether it is recorded."""

    trace_id: str
    span_id: str
    flags: str = NOT_SAMPLED

    @classmethod
    def start(cls) -> "Trace":
        """The beginning of a new trace."""
        return begin().trace

    @classmethod
    def parse(cls, traceparent: str | None) -> "Trace | None":
        """What a `traceparent` header says (https://www.w3.org/TR/trace-context/); None when it is not one."""
        match = _TRACEPARENT.fullmatch(traceparent or "")
        return cls(match[1], match[2], SAMPLED if int(match[3], 16) & 1 else NOT_SAMPLED) if match else None

    @property
    def sampled(self) -> bool:
        return self.flags == SAMPLED

    def child(self, flags: str | None = None) -> "Trace":
        """The next span of the same trace."""
        return Trace(self.trace_id, random_hex(16), flags or self.flags)

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


class Origin(msgspec.Struct, frozen=True, gc=False):
    """What a call is made for: the request, and where its trace has come to."""

    request_id: str
    trace: Trace


class Sampling:
    """Which part of the traces that begin in this process is recorded; none until somebody says so."""

    share: ClassVar[float] = 0.0


def new_ids() -> tuple[str, str, bool]:
    """A request id, a trace id, and whether that trace is sampled."""
    digits = random_hex(64)
    return digits[:32], digits[32:], Sampling.share > 0 and random.random() < Sampling.share


def begin() -> Origin:
    """A request id of 32 hex digits and the beginning of a trace, which is sampled or not from here on."""
    request_id, trace_id, sampled = new_ids()
    return Origin(request_id, Trace(trace_id, random_hex(16), SAMPLED if sampled else NOT_SAMPLED))


current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)
current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)


def request_ids() -> dict[str, str]:
    """`request_id` of the request that is being answered, `trace_id` of whatever is being done; empty outside."""
    request_id, trace = current_request_id.get(), current_trace.get()
    ids = {"request_id": request_id} if request_id else {}
    return ids | {"trace_id": trace.trace_id} if trace else ids


def origin() -> Origin:
    """Of what is being done now."""
    request_id, trace = current_request_id.get(), current_trace.get()
    if request_id is None or trace is None:
        fresh = begin()
        return Origin(request_id or fresh.request_id, trace or fresh.trace)
    return Origin(request_id, trace)


def traceparent() -> str | None:
    """The header to send along with whatever is done now; None outside a request or job."""
    trace = current_trace.get()
    return str(trace) if trace else None
