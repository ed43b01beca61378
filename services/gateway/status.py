"""The status of the whole system, for operators: its health, and this gateway's view of it."""

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime

from prometheus_client import Gauge
from pydantic import BaseModel, Field
from pyqwest import Transport

from services.gateway import metrics
from services.gateway.latency import Latencies
from services.gateway.panels import Panels, Service
from services.gateway.upstream.backends import Backend
from services.gateway.upstream.circuit_breaker import State
from services.gateway.upstream.errors import UpstreamFailed
from services.gateway.upstream.resilience import Policies
from services.gateway.upstream.responses import Fetched, Fetcher
from shared import clock
from shared.observability import system_status
from shared.observability.probes import Checks, readiness
from shared.observability.system_status import (
    METRICS_PATH,
    PROBE_PATH,
    BreakerState,
    Health,
    Observation,
    Process,
    ProcessStatus,
)

TIMEOUT_S = 3.0
AT_ONCE = 16
"""Concurrent requests: each process gets two."""
MAX_BYTES = 8 * 1024 * 1024
KEEP_S = 1.0
"""The processes are queried at most once a second, however many operators are watching."""

BREAKER: dict[State, BreakerState] = {State.CLOSED: "closed", State.HALF_OPEN: "half_open", State.OPEN: "open"}


class ServiceStatus(BaseModel):
    """This gateway's view of a service."""

    name: str = Field(examples=["orders"])
    breaker: BreakerState
    calls_in_flight: int


class PanelStatus(BaseModel):
    """Calls to the service in the last minute (each for many users), and the outcomes of panels since the start.

    Percentiles are null for fewer than 20 calls.
    """

    name: str = Field(examples=["orders"])
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


class SystemStatus(Health):
    at: datetime
    services: list[ServiceStatus]
    panels: list[PanelStatus]
    gateway: GatewayStatus


class SystemProbe:
    """Reads the status of everything, at most once a second."""

    def __init__(self, transport: Transport, panels: Panels, backends: Mapping[Service, Backend]) -> None:
        self._fetcher = Fetcher(transport, at_once=AT_ONCE, max_bytes=MAX_BYTES)
        self.use(panels, backends)
        self._latencies = Latencies(metrics.PANEL_SECONDS, "panel")
        self._lock = asyncio.Lock()
        self._last: tuple[float, SystemStatus] | None = None

    def use(self, panels: Panels, backends: Mapping[Service, Backend]) -> None:
        """Watch these panels and services from now on. Only those of this system report their health."""
        self._panels = panels
        self._backends = backends
        specs = [backend.upstream.spec for backend in backends.values()]
        self._processes = [
            process
            for spec in specs
            if spec.internal
            for process in system_status.numbered(spec.name, (url.rstrip("/") for url in spec.urls.split(",")))
        ]

    async def keep_time(self) -> None:
        """Sample latencies for comparison. Runs until cancelled."""
        await self._latencies.run()

    async def read(self, checks: Checks, streams: int) -> SystemStatus:
        """Return the status, at most a second old. `checks` and `streams` are this gateway's own."""
        async with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > KEEP_S:
                self._last = time.monotonic(), await self._read(checks, streams)
            return self._last[1]

    async def _read(self, checks: Checks, streams: int) -> SystemStatus:
        urls = [f"{process.url}{path}" for process in self._processes for path in (PROBE_PATH, METRICS_PATH)]
        (_, own), found = await asyncio.gather(readiness(checks), self._fetcher.fetch_many(urls, TIMEOUT_S))
        seen = [
            Observation(ProcessStatus(name="gateway", **own)),
            *(_observed(process, found) for process in self._processes),
        ]
        services = [
            _of_service(name, policies)
            for name, backend in self._backends.items()
            if (policies := backend.policies) is not None
        ]
        health = system_status.assess(seen, {service.name: service.breaker for service in services})
        return SystemStatus(
            **dict(health), at=clock.now(), services=services, panels=self._panel_statuses(), gateway=_own(streams)
        )

    def _panel_statuses(self) -> list[PanelStatus]:
        lately = self._latencies.lately()
        found = []
        for panel in self._panels:
            answered = {
                status: sum(
                    n for (name, how, _), n in metrics.PANELS.totals().items() if (name, how) == (panel.name, status)
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


def _observed(process: Process, found: Mapping[str, Fetched | UpstreamFailed]) -> Observation:
    probe, counted = (found[f"{process.url}{path}"] for path in (PROBE_PATH, METRICS_PATH))
    if isinstance(probe, UpstreamFailed):
        return system_status.unreachable(process.name, str(probe))
    if isinstance(counted, UpstreamFailed):
        return system_status.unreachable(process.name, str(counted))
    return system_status.observed(process.name, probe.body, counted.body)


def _of_service(name: str, policies: Policies) -> ServiceStatus:
    return ServiceStatus(
        name=name, breaker=BREAKER[policies.breaker.state], calls_in_flight=policies.bulkhead.in_flight
    )


def _own(streams: int) -> GatewayStatus:
    lookups = metrics.CACHE_LOOKUPS.totals()
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
