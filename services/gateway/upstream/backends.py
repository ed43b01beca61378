"""The declared services, and everything that calls them.

Another catalog keeps what has not changed: its connections, its circuit breaker, what it has learned about latencies.
What is left out closes as soon as its last request has ended.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from pyqwest import Transport

from services.gateway import metrics
from services.gateway.panels import Panels, Service, ServiceSpec
from services.gateway.settings import Settings, Tuning
from services.gateway.upstream.batching import Batcher
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.resilience import Policies, ServiceCalls
from services.gateway.upstream.rest import RestService
from services.gateway.upstream.rest_client import RestClient
from services.gateway.upstream.timers import Timers
from shared.http.tokens import ServiceTokens


@dataclass(frozen=True)
class Backend:
    """One service: `calls` read its batch panels, and `rest` its REST panels, if it has any."""

    upstream: Upstream
    uploads: Upstream
    """The same, for requests that may take long to send."""
    calls: ServiceCalls | None
    rest: RestService | None
    closing: AsyncExitStack

    @property
    def policies(self) -> Policies | None:
        """The policies for its panels; None if it has none."""
        reads = self.calls or self.rest
        return reads.policies if reads else None


class Backends:
    """Opens the services that a catalog declares. `aclose` closes them."""

    def __init__(
        self,
        transport: Transport,
        upload_transport: Transport,
        tokens: ServiceTokens,
        settings: Settings,
        tuning: Tuning,
        timers: Timers,
    ) -> None:
        self._transport = transport
        self._upload_transport = upload_transport
        self._tokens = tokens
        self._settings = settings
        self._tuning = tuning
        self._timers = timers
        self._known: dict[Service, Backend] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    async def use(self, specs: Mapping[Service, ServiceSpec], panels: Panels) -> Mapping[Service, Backend]:
        """Return these services by name, opening what is new and closing what is left out."""
        before, found = self._known, {}
        for name, spec in specs.items():
            protocols = frozenset(panel.protocol for panel in panels if panel.service == name)
            known = before.get(name)
            if known and known.upstream.spec == spec and _protocols(known) == protocols:
                found[name] = known
            else:
                found[name] = await self._open(spec, protocols)
        self._known = found
        for name, backend in before.items():
            if found.get(name) is not backend:
                self._retire(backend)
        return found

    async def aclose(self) -> None:
        """Close everything, whether or not it is idle."""
        for task in self._retiring:
            task.cancel()
        for backend in self._known.values():
            _stop(backend)
            await backend.closing.aclose()

    async def _open(self, spec: ServiceSpec, protocols: frozenset[str]) -> Backend:
        closing = AsyncExitStack()
        upstream = Upstream(spec, self._transport, self._tokens, self._tuning)
        calls = rest = None
        if "batch" in protocols:
            calls = ServiceCalls(spec.name, upstream, self._settings.bulkhead_calls, self._tuning, self._timers)
        if "rest" in protocols:
            client = await closing.enter_async_context(RestClient(upstream.gets, spec.headers))
            rest = RestService(spec, upstream, client, self._tuning, self._timers)
        metrics.CONNECTIONS.labels(spec.name, "busy").set_function(upstream.busy)
        metrics.CONNECTIONS.labels(spec.name, "idle").set_function(upstream.idle)
        return Backend(upstream, upstream.by(self._upload_transport), calls, rest, closing)

    def _retire(self, backend: Backend) -> None:
        _stop(backend)
        task = asyncio.get_running_loop().create_task(_close_when_idle(backend))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


def runners(backends: Mapping[Service, Backend], tuning: Tuning) -> dict[str, Batcher | RestService]:
    """Return what reads the panels of these services, named as `Panel.runner`."""
    found: dict[str, Batcher | RestService] = {}
    for name, backend in backends.items():
        if backend.calls is not None:
            found[name] = Batcher(backend.calls, tuning.batch_calls)
        if backend.rest is not None:
            found[f"{name} (rest)"] = backend.rest
    return found


def _protocols(backend: Backend) -> frozenset[str]:
    has = {"batch": backend.calls is not None, "rest": backend.rest is not None}
    return frozenset(name for name, there in has.items() if there)


def _stop(backend: Backend) -> None:
    """Stop the background work, and let connections end with their requests."""
    backend.upstream.close()
    if backend.calls is not None:
        backend.calls.close()
    if backend.rest is not None:
        backend.rest.close()


async def _close_when_idle(backend: Backend) -> None:
    try:
        if backend.rest is not None:
            await backend.rest.drained()
    finally:
        await backend.closing.aclose()
