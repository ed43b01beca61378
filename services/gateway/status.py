"""The status of the whole system, for operators: the report of every process, and this gateway's view of them."""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from prometheus_client import Gauge
from pydantic import BaseModel, Field
from pyqwest import Transport

from services.gateway import metrics
from services.gateway.latency import Latencies
from services.gateway.panels import PANELS, Service
from services.gateway.upstream.errors import UpstreamFailed
from services.gateway.upstream.fetcher import Fetched, Fetcher
from shared import clock
from shared.observability.probes import Checks, readiness
from shared.observability.telemetry import Samples, read_samples

TIMEOUT_S = 3.0
AT_ONCE = 16
"""Concurrent requests: each process gets two."""
MAX_BYTES = 8 * 1024 * 1024
KEEP_S = 1.0
"""The processes are queried at most once a second, however many operators are watching."""

LABELS = {
    "worker_queue_messages": "queue",
    "worker_queue_consumers": "queue",
    "worker_jobs_dead": "job",
    "worker_jobs_retrying": "job",
    "worker_jobs": "job",
    "outbox_waiting": "",
    "outbox_oldest_age_seconds": "",
}
BREAKER: dict[float, Literal["closed", "half_open", "open"]] = {0: "closed", 1: "half_open", 2: "open"}


class ProcessStatus(BaseModel):
    """`checks` has the dependencies of the process, each `ok` or its error; `error` says why the process could not
    be reached."""

    name: str = Field(description="the service, numbered if there are several addresses")
    status: Literal["ready", "degraded", "unavailable", "unreachable"]
    checks: dict[str, str] = {}
    error: str | None = None


class ServiceStatus(BaseModel):
    """This gateway's view of a service."""

    name: str
    breaker: Literal["closed", "half_open", "open"]
    calls_in_flight: int


class PanelStatus(BaseModel):
    """Calls to the service in the last minute (each for many users), and the outcomes of panels since the start.

    Percentiles are null for fewer than 20 calls.
    """

    name: str
    calls: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    fresh: int
    stale: int
    unavailable: int


class GatewayStatus(BaseModel):
    """This gateway's own values."""

    feed_connected: bool
    streams: int
    cache_entries: int
    cache_bytes: int
    cache_hits: int
    cache_misses: int


class QueueStatus(BaseModel):
    name: str
    messages: int
    consumers: int


class OutboxStatus(BaseModel):
    """Null if the service could not be reached."""

    service: str
    rows: int | None
    oldest_s: float | None


class JobStatus(BaseModel):
    """`attempts` since the worker's start: its rate is the throughput."""

    job: str
    attempts: int
    retrying: int
    dead: int


class SystemStatus(BaseModel):
    at: datetime
    processes: list[ProcessStatus]
    services: list[ServiceStatus]
    panels: list[PanelStatus]
    gateway: GatewayStatus
    queues: list[QueueStatus] = Field(description="empty if no worker knows them")
    outboxes: list[OutboxStatus]
    jobs: list[JobStatus]


Seen = tuple[ProcessStatus, Samples]


class SystemLook:
    """Reads everything, at most once a second."""

    def __init__(self, transport: Transport, urls: Mapping[Service, str]) -> None:
        self._fetcher = Fetcher(transport, at_once=AT_ONCE, max_bytes=MAX_BYTES)
        self._places = [(name, url) for service, several in urls.items() for name, url in _numbered(service, several)]
        self._latencies = Latencies(metrics.PANEL_SECONDS, "panel")
        self._lock = asyncio.Lock()
        self._last: tuple[float, SystemStatus] | None = None

    async def keep_time(self) -> None:
        """Sample latencies for comparison. Runs until cancelled."""
        await self._latencies.run()

    async def look(self, checks: Checks, streams: int) -> SystemStatus:
        async with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > KEEP_S:
                self._last = time.monotonic(), await self._look(checks, streams)
            return self._last[1]

    async def _look(self, checks: Checks, streams: int) -> SystemStatus:
        urls = [f"{url}{path}" for _, url in self._places for path in ("/readyz", "/metrics")]
        (_, own), found = await asyncio.gather(readiness(checks), self._fetcher.fetch_many(urls, TIMEOUT_S))
        seen = [_seen(name, found[f"{url}/readyz"], found[f"{url}/metrics"]) for name, url in self._places]
        workers = [samples for status, samples in seen if _service(status) == "worker" and samples]
        return SystemStatus(
            at=clock.now(),
            processes=[ProcessStatus(name="gateway", **own), *(status for status, _ in seen)],
            services=[_of_service(name) for name in dict.fromkeys(_service(status) for status, _ in seen)],
            panels=self._panels(),
            gateway=_own(streams),
            queues=_queues(workers),
            outboxes=[_outbox(service, seen) for service in ("users", "orders", "worker")],
            jobs=_jobs(workers),
        )

    def _panels(self) -> list[PanelStatus]:
        lately = self._latencies.lately()
        found = []
        for panel in PANELS:
            answered = {
                status: sum(
                    n for (name, how, _), n in metrics.PANELS.counts.items() if (name, how) == (panel.name, status)
                )
                for status in ("fresh", "stale", "unavailable")
            }
            took = lately.get(panel.name)
            found.append(
                PanelStatus(
                    name=panel.name,
                    calls=took.calls if took else 0,
                    p50_ms=took and took.p50_ms,
                    p95_ms=took and took.p95_ms,
                    p99_ms=took and took.p99_ms,
                    **answered,
                )
            )
        return found


def _seen(name: str, probe: Fetched | UpstreamFailed, counted: Fetched | UpstreamFailed) -> Seen:
    """Return a process's report and its metrics; one that does not answer both is unreachable."""
    if isinstance(probe, UpstreamFailed):
        return _unreachable(name, str(probe))
    if isinstance(counted, UpstreamFailed):
        return _unreachable(name, str(counted))
    try:
        told = json.loads(probe.body)
        status = ProcessStatus(name=name, status=told["status"], checks=told["checks"])
        return status, read_samples(counted.body.decode(), LABELS)
    except (ValueError, KeyError, TypeError) as odd:
        return _unreachable(name, f"unexpected response: {odd!r}")


def _unreachable(name: str, error: str) -> Seen:
    return ProcessStatus(name=name, status="unreachable", error=error[:200]), {}


def _numbered(service: str, urls: str) -> Iterable[tuple[str, str]]:
    for number, url in enumerate(urls.split(","), 1):
        yield (service if number == 1 else f"{service}-{number}"), url.rstrip("/")


def _service(status: ProcessStatus) -> str:
    return status.name.partition("-")[0]


def _of_service(name: str) -> ServiceStatus:
    breaker = BREAKER[_values(metrics.BREAKER_STATE, "service").get(name, 0)]
    in_flight = _values(metrics.CALLS_IN_FLIGHT, "service").get(name, 0)
    return ServiceStatus(name=name, breaker=breaker, calls_in_flight=int(in_flight))


def _values(gauge: Gauge, label: str) -> dict[str, float]:
    return {sample.labels[label]: sample.value for family in gauge.collect() for sample in family.samples}


def _own(streams: int) -> GatewayStatus:
    lookups = metrics.CACHE_LOOKUPS.counts
    return GatewayStatus(
        feed_connected=bool(_only(metrics.FEED_CONNECTED)),
        streams=streams,
        cache_entries=int(_only(metrics.CACHE_ENTRIES)),
        cache_bytes=int(_only(metrics.CACHE_BYTES)),
        cache_hits=sum(count for (_, outcome), count in lookups.items() if outcome == "hit"),
        cache_misses=sum(count for (_, outcome), count in lookups.items() if outcome == "miss"),
    )


def _only(gauge: Gauge) -> float:
    return next(sample.value for family in gauge.collect() for sample in family.samples)


def _queues(workers: Sequence[Samples]) -> list[QueueStatus]:
    messages, consumers = _largest(workers, "worker_queue_messages"), _largest(workers, "worker_queue_consumers")
    return [
        QueueStatus(name=name, messages=int(messages[name]), consumers=int(consumers.get(name, 0)))
        for name in sorted(messages)
    ]


def _jobs(workers: Sequence[Samples]) -> list[JobStatus]:
    dead, retrying = _largest(workers, "worker_jobs_dead"), _largest(workers, "worker_jobs_retrying")
    attempts: dict[str, float] = {}
    for (name, job), value in (item for samples in workers for item in samples.items()):
        if name == "worker_jobs":
            attempts[job] = attempts.get(job, 0) + value
    return [
        JobStatus(
            job=job,
            attempts=int(attempts.get(job, 0)),
            retrying=int(retrying.get(job, 0)),
            dead=int(dead.get(job, 0)),
        )
        for job in sorted(dead.keys() | retrying.keys() | attempts.keys())
    ]


def _outbox(service: str, seen: Sequence[Seen]) -> OutboxStatus:
    known = [samples for status, samples in seen if _service(status) == service and samples]
    rows, oldest = _largest(known, "outbox_waiting"), _largest(known, "outbox_oldest_age_seconds")
    if not rows:
        return OutboxStatus(service=service, rows=None, oldest_s=None)
    return OutboxStatus(service=service, rows=int(rows[""]), oldest_s=round(oldest.get("", 0), 1))


def _largest(several: Sequence[Samples], metric: str) -> dict[str, float]:
    """Return values by label. All processes of a service measure the same thing, so their values are not added up."""
    found: dict[str, float] = {}
    for (name, label), value in (item for samples in several for item in samples.items()):
        if name == metric:
            found[label] = max(found.get(label, 0), value)
    return found
