"""Talks to the services: one client for all, a list of base URLs for each."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy

from pyqwest import HTTPTransport, Transport

from services.gateway import metrics, reading
from services.gateway.failures import NotTrusted, TooLate, Unreachable, UpstreamFailed
from services.gateway.reading import ServiceResponse, fetch
from services.gateway.refusals import own_refusals
from services.gateway.replicas import Replicas
from services.gateway.settings import Settings
from services.gateway.wire import Wire
from shared import telemetry, tracing
from shared.identity import USER_ID_HEADER
from shared.limits import IDLE_S
from shared.logs import get_logger
from shared.panels import DEADLINE_HEADER
from shared.tokens import ServiceTokens
from shared.tracing import Kind
from shared.web import REQUEST_ID_HEADER

log = get_logger(__name__)

HeaderList = list[tuple[str, str]]

ALIVE_WITHIN_S = 2.0
"""A replica that does not answer `/livez` in this time is taken for dead."""


@asynccontextmanager
async def http_transport(settings: Settings, read_timeout_s: float) -> AsyncIterator[Transport]:
    """Connections to the services.

    A cancelled request closes its connection at once; what is sent and received is streamed as it is. A service is
    silent, in the sense of the read timeout, also while a request is being sent to it.
    """
    transport = HTTPTransport(
        connect_timeout=settings.connect_timeout_s,
        read_timeout=read_timeout_s,
        pool_idle_timeout=IDLE_S,
        pool_max_idle_per_host=settings.idle_connections,
        follow_redirects=False,
        enable_gzip=False,
        enable_brotli=False,
        enable_zstd=False,
        enable_otel=False,
    )
    async with transport:
        yield transport


class Body(ABC):
    """A request's body on its way."""

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether all of it has been handed over."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Upstream:
    """One service, reached by one base URL or by several in turn."""

    def __init__(
        self, service: str, base_urls: str, transport: Transport, tokens: ServiceTokens, settings: Settings
    ) -> None:
        self._service = service
        self._base_urls = [url.rstrip("/") for url in base_urls.split(",")]
        self._replicas = Replicas(service, len(self._base_urls), self._is_alive)
        self._transport = transport
        self._tokens = tokens
        self._wires = [Wire(url, settings.connect_timeout_s, settings.idle_connections) for url in base_urls.split(",")]

    def by(self, transport: Transport) -> "Upstream":
        """The same service by another transport: what one learns of its replicas, both know."""
        other = copy(self)
        other._transport = transport
        return other

    def close(self) -> None:
        """Close the connections that panels come by; the transport is its owner's to close."""
        self._replicas.close()
        for wire in self._wires:
            wire.close()

    def busy(self) -> int:
        """Connections on which a panel is being asked for."""
        return sum(wire.busy for wire in self._wires)

    def idle(self) -> int:
        """Connections kept for the next question."""
        return sum(wire.idle for wire in self._wires)

    async def send(
        self, method: str, target: str, headers: HeaderList, body: bytes | Body, remaining_s: float
    ) -> ServiceResponse:
        """Send a request as the gateway; the caller closes the response. Raises `UpstreamFailed`: `TooLate` without the
        response's head in that time, `NotTrusted` for a refusal that is about the gateway and not about the client.

        `target` is path and query. A replica that cannot be connected to is passed over for the next.
        """
        with tracing.span(method, Kind.CLIENT) as span:
            response = await self._send(method, target, headers, body, remaining_s)
            span.set({"http.request.method": method, "http.response.status_code": response.status_code})
        try:
            return await own_refusals(response, named=any(name == USER_ID_HEADER for name, _ in headers))
        except NotTrusted as refused:
            self._count_distrust(target, refused)
            raise

    async def _send(
        self, method: str, target: str, headers: HeaderList, body: bytes | Body, remaining_s: float
    ) -> ServiceResponse:
        every = [*headers, *self._own_headers(remaining_s)]
        refused: Unreachable | None = None
        replica = 0
        try:
            async with asyncio.timeout(remaining_s):
                for replica in self._replicas.in_turn():
                    try:
                        with self._replicas.watched(replica):
                            content = body if isinstance(body, bytes) else aiter(body)
                            url = self._base_urls[replica] + target
                            response = await reading.request(self._transport, method, url, every, content)
                    except Unreachable as failure:
                        self._replicas.failed(replica)
                        refused = failure
                    else:
                        self._replicas.answered(replica)
                        return response
        except TimeoutError as late:
            if isinstance(body, bytes) or body.ended:
                self._replicas.failed(replica)
            raise TooLate(f"no answer in {remaining_s} s") from late
        raise refused or Unreachable

    def next_replica(self) -> int:
        """Whose turn it is."""
        return self._replicas.next()

    async def ask(self, path: str, user_ids: Sequence[str], remaining_s: float, replica: int, max_bytes: int) -> bytes:
        """The answer to a panel query for these users; of the replica, or of the next that can be connected to.

        Raises `UpstreamFailed`.
        """
        body = b'{"ids":["%s"]}' % '","'.join(user_ids).encode()
        headers = "".join([f"{name}: {value}\r\n" for name, value in self._own_headers(remaining_s)])
        refused: Unreachable | None = None
        for number in self._replicas.beginning_with(replica % len(self._wires)):
            try:
                with self._replicas.watched(number):
                    return await self._wires[number].post(path, headers, body, max_bytes)
            except Unreachable as failure:
                self._replicas.failed(number)
                refused = failure
            except NotTrusted as failure:
                self._count_distrust(path, failure)
                raise
        raise refused or Unreachable

    async def openapi(self, max_bytes: int) -> bytes:
        """The service's own description. Raises `UpstreamFailed`."""
        replica = self._replicas.in_turn()[0]
        return await fetch(self._transport, f"{self._base_urls[replica]}/openapi.json", max_bytes)

    async def _is_alive(self, replica: int) -> bool:
        """Whether it answers anything at all."""
        try:
            async with asyncio.timeout(ALIVE_WITHIN_S):
                response = await reading.request(self._transport, "GET", f"{self._base_urls[replica]}/livez")
                await response.aclose()
        except (UpstreamFailed, TimeoutError):
            return False
        return True

    def _count_distrust(self, target: str, refused: NotTrusted) -> None:
        metrics.NOT_TRUSTED.labels(self._service).inc()
        log.error(
            "the service refuses the gateway; do secrets and clocks agree?",
            service=self._service,
            target=target.partition("?")[0],
            reason=str(refused),
        )

    def _own_headers(self, remaining_s: float) -> HeaderList:
        headers = [
            ("Authorization", f"Bearer {self._tokens.token()}"),
            (DEADLINE_HEADER, str(max(1, int(remaining_s * 1000)))),
        ]
        if traceparent := telemetry.traceparent():
            headers.append(("traceparent", traceparent))
        if request_id := telemetry.current_request_id.get():
            headers.append((REQUEST_ID_HEADER, request_id))
        return headers
