"""Connections to the services: one client for all, with a list of base URLs for each."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy

from pyqwest import HTTPTransport, Transport

from services.gateway import metrics
from services.gateway.panels import ServiceSpec
from services.gateway.settings import Tuning
from services.gateway.upstream import responses
from services.gateway.upstream.errors import NotTrusted, TooLate, Unreachable, UpstreamFailed
from services.gateway.upstream.health import Replicas
from services.gateway.upstream.http1 import Cancellable, ConnectionPool, Receiver
from services.gateway.upstream.responses import ServiceResponse, fetch, own_refusals
from shared.contracts.internal_api import IDLE_S
from shared.contracts.panels import DEADLINE_HEADER, PATH
from shared.http.application import REQUEST_ID_HEADER
from shared.http.identity import USER_ID_HEADER
from shared.http.tokens import ServiceTokens
from shared.observability import telemetry, tracing
from shared.observability.logs import get_logger
from shared.observability.telemetry import Origin
from shared.observability.tracing import Kind

log = get_logger(__name__)

HeaderList = list[tuple[str, str]]

IDLE_CONNECTIONS = 100
"""Connections kept open to each service."""
GET_CONNECT_TIMEOUT_S = 1.0
"""The timeout of REST panels for connecting, TLS included."""
ALIVE_WITHIN_S = 2.0
"""A replica that does not answer `/livez` within this time counts as dead."""


@asynccontextmanager
async def http_transport(connect_timeout_s: float, read_timeout_s: float) -> AsyncIterator[Transport]:
    """Connections to the services.

    A cancelled request closes its connection at once; data is streamed in both directions. For the read timeout, a
    service also counts as silent while a request is being sent to it.
    """
    transport = HTTPTransport(
        tls_include_system_certs=True,
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        pool_idle_timeout=IDLE_S,
        pool_max_idle_per_host=IDLE_CONNECTIONS,
        follow_redirects=False,
        enable_gzip=False,
        enable_brotli=False,
        enable_zstd=False,
        enable_otel=False,
    )
    async with transport:
        yield transport


class Body(ABC):
    """A request body that is being sent."""

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether all of it has been handed over."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Upstream:
    """One service, reached by one base URL or by several in turn.

    A service of this system gets the gateway's service token; any other gets its declared headers.
    """

    def __init__(self, spec: ServiceSpec, transport: Transport, tokens: ServiceTokens, tuning: Tuning) -> None:
        self.spec = spec
        self._service = spec.name
        self._base_urls = [url.rstrip("/") for url in spec.urls.split(",")]
        self.replicas = Replicas(spec.name, len(self._base_urls), self._is_alive)
        self._transport = transport
        self._tokens = tokens
        self._pools = [ConnectionPool(url, tuning.connect_timeout_s, IDLE_CONNECTIONS) for url in self._base_urls]
        kept = max(IDLE_CONNECTIONS, spec.concurrency)
        self.gets = [ConnectionPool(url, GET_CONNECT_TIMEOUT_S, kept, gets=True) for url in self._base_urls]
        """By replica, the connections for REST panels."""
        self._declared = "".join([f"{name}: {value}\r\n" for name, value in spec.headers])

    def by(self, transport: Transport) -> "Upstream":
        """Return the same service with another transport; both share what they learn about its replicas."""
        other = copy(self)
        other._transport = transport
        return other

    def close(self) -> None:
        """Close the connections of panel calls; the transport belongs to its owner."""
        self.replicas.close()
        for pool in (*self._pools, *self.gets):
            pool.close()

    def busy(self) -> int:
        """The number of connections with a panel call in flight."""
        return sum(pool.busy for pool in (*self._pools, *self.gets))

    def idle(self) -> int:
        """The number of idle connections."""
        return sum(pool.idle for pool in (*self._pools, *self.gets))

    async def send(
        self, method: str, target: str, headers: HeaderList, body: bytes | Body, remaining_s: float
    ) -> ServiceResponse:
        """Send a request as the gateway; the caller closes the response. Raises `UpstreamFailed`: `TooLate` without the
        response's head in that time, `NotTrusted` if the service rejects the gateway and not the client.

        `target` is path and query. A replica that cannot be connected to is skipped.
        """
        with tracing.span(method, Kind.CLIENT) as span:
            response = await self._send(method, target, headers, body, remaining_s)
            span.set({"http.request.method": method, "http.response.status_code": response.status_code})
        try:
            if not self.spec.internal:  # its refusal is about the caller
                return response
            return await own_refusals(response, named=any(name == USER_ID_HEADER for name, _ in headers))
        except NotTrusted as refused:
            self.count_distrust(target, refused)
            raise

    async def _send(
        self, method: str, target: str, headers: HeaderList, body: bytes | Body, remaining_s: float
    ) -> ServiceResponse:
        every = [*headers, *self._own_headers(remaining_s)]
        refused: Unreachable | None = None
        replica = 0
        try:
            async with asyncio.timeout(remaining_s):
                for replica in self.replicas.in_turn():
                    try:
                        with self.replicas.watched(replica):
                            content = body if isinstance(body, bytes) else aiter(body)
                            url = self._base_urls[replica] + target
                            response = await responses.request(self._transport, method, url, every, content)
                    except Unreachable as failure:
                        self.replicas.failed(replica)
                        refused = failure
                    else:
                        self.replicas.answered(replica)
                        return response
        except TimeoutError as late:
            if isinstance(body, bytes) or body.ended:
                self.replicas.failed(replica)
            raise TooLate(f"no response in {remaining_s} s") from late
        raise refused or Unreachable

    def ask(
        self, query: bytes, origin: Origin, remaining_s: float, replica: int, max_bytes: int, receiver: Receiver
    ) -> Cancellable:
        """Send a panel query to that replica, in the context of the request that started it."""
        token = f"Authorization: Bearer {self._tokens.token()}\r\n" if self.spec.internal else ""
        headers = (
            f"{token}{DEADLINE_HEADER}: {max(1, int(remaining_s * 1000))}\r\n"
            f"traceparent: {origin.trace}\r\n{REQUEST_ID_HEADER}: {origin.request_id}\r\n{self._declared}"
        )
        return self._pools[replica].post(PATH, headers, query, max_bytes, receiver)

    async def openapi(self, max_bytes: int) -> bytes:
        """Return the service's OpenAPI document. Raises `UpstreamFailed`."""
        replica = self.replicas.beginning_with(0)[0]  # taking a turn here would skip a replica for requests
        return await fetch(self._transport, f"{self._base_urls[replica]}/openapi.json", max_bytes)

    async def _is_alive(self, replica: int) -> bool:
        """Return whether it responds at all."""
        try:
            async with asyncio.timeout(ALIVE_WITHIN_S):
                response = await responses.request(self._transport, "GET", f"{self._base_urls[replica]}/livez")
                await response.aclose()
        except (UpstreamFailed, TimeoutError):
            return False
        return True

    def count_distrust(self, target: str, refused: NotTrusted) -> None:
        """The service has rejected the gateway itself."""
        metrics.NOT_TRUSTED.labels(self._service).inc()
        log.error(
            "the service rejects the gateway; do secrets and clocks agree?",
            service=self._service,
            target=target.partition("?")[0],
            reason=str(refused),
        )

    def _own_headers(self, remaining_s: float) -> HeaderList:
        headers = [(DEADLINE_HEADER, str(max(1, int(remaining_s * 1000)))), *self.spec.headers]
        if self.spec.internal:
            headers.append(("Authorization", f"Bearer {self._tokens.token()}"))
        if traceparent := telemetry.traceparent():
            headers.append(("traceparent", traceparent))
        if request_id := telemetry.current_request_id.get():
            headers.append((REQUEST_ID_HEADER, request_id))
        return headers
