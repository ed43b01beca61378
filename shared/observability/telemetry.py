"""Trace context (W3C) of the current work, the metrics of every process, and a reader of another process's metrics."""

import random
import re
from collections import defaultdict
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import ClassVar

import msgspec
from prometheus_client import Counter, disable_created_metrics
from prometheus_client import Histogram as LockedHistogram
from prometheus_client.parser import text_string_to_metric_families

from shared.observability.histogram import Histogram, Series

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")

SAMPLED, NOT_SAMPLED = "01", "00"

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second, unused series for each

HTTP_REQUESTS = Histogram(
    "http_request_duration_seconds",
    "Duration of HTTP requests by route template, method and status.",
    ["route", "method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
LOOP_LAG = LockedHistogram(
    "event_loop_lag_seconds",
    "Event loop lag, sampled ten times a second.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
UNHANDLED = Counter("unhandled_exceptions_total", "Unhandled exceptions of the process.", ["route"])


@lru_cache(maxsize=1024)
def requests_seconds(route: str, method: str, status: int) -> Series:
    """Return one series of `HTTP_REQUESTS`; looking it up by its labels costs more than observing."""
    return HTTP_REQUESTS.labels(route, method, status)


def random_hex(digits: int) -> str:
    """Return an id that distinguishes objects. It is not secret: ids may be guessed from earlier ones."""
    return random.getrandbits(4 * digits).to_bytes(digits // 2, "big").hex()


class Trace(msgspec.Struct, frozen=True, gc=False):
    """A position in a trace: `trace_id` 32 and `span_id` 16 hex digits; `flags` say whether it is recorded."""

    trace_id: str
    span_id: str
    flags: str = NOT_SAMPLED

    @classmethod
    def start(cls) -> "Trace":
        """Start a new trace."""
        return begin().trace

    @classmethod
    def parse(cls, traceparent: str | None) -> "Trace | None":
        """Parse a `traceparent` header (https://www.w3.org/TR/trace-context/); None if it is invalid."""
        match = _TRACEPARENT.fullmatch(traceparent or "")
        return cls(match[1], match[2], SAMPLED if int(match[3], 16) & 1 else NOT_SAMPLED) if match else None

    @property
    def sampled(self) -> bool:
        return self.flags == SAMPLED

    def child(self, flags: str | None = None) -> "Trace":
        """Return the next span of the same trace."""
        return Trace(self.trace_id, random_hex(16), flags or self.flags)

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The context of a call: the request, and the position in its trace."""

    request_id: str
    trace: Trace


class Sampling:
    """The share of the traces starting in this process that is recorded; none by default."""

    share: ClassVar[float] = 0.0


def new_ids() -> tuple[str, str, bool]:
    """A request id, a trace id, and whether that trace is sampled."""
    digits = random_hex(64)
    return digits[:32], digits[32:], Sampling.share > 0 and random.random() < Sampling.share


def begin() -> Origin:
    """Return a request id of 32 hex digits and the start of a trace, and decide whether it is sampled."""
    request_id, trace_id, sampled = new_ids()
    return Origin(request_id, Trace(trace_id, random_hex(16), SAMPLED if sampled else NOT_SAMPLED))


current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)
current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)


def request_ids() -> dict[str, str]:
    """Return `request_id` of the current request and `trace_id` of the current work; empty outside."""
    request_id, trace = current_request_id.get(), current_trace.get()
    ids = {"request_id": request_id} if request_id else {}
    return ids | {"trace_id": trace.trace_id} if trace else ids


def origin() -> Origin:
    """The trace of the current work."""
    request_id, trace = current_request_id.get(), current_trace.get()
    if request_id is None or trace is None:
        fresh = begin()
        return Origin(request_id or fresh.request_id, trace or fresh.trace)
    return Origin(request_id, trace)


def traceparent() -> str | None:
    """Return the `traceparent` header for outgoing calls; None outside a request or job."""
    trace = current_trace.get()
    return str(trace) if trace else None


Samples = Mapping[tuple[str, str], float]
"""Values of metrics by the metric's name and the relevant label, summed over other labels."""


def read_samples(text: str, labels: Mapping[str, str]) -> Samples:
    """Parse the metrics named in `labels`, each with the label by which its values are summed. Raises `ValueError`."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        if (label := labels.get(family.name)) is not None:
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    found[family.name, sample.labels.get(label, "")] += sample.value
    return found
