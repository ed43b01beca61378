"""Talks to the services: one client for all, a list of base URLs for each."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache

import httpx
from pyqwest import HTTPTransport, Transport
from pyqwest.httpx import AsyncPyqwestTransport

from services.gateway.failures import BadAnswer, TooLate, Unreachable
from services.gateway.settings import Settings
from services.gateway.wire import Wire
from shared import telemetry, tracing
from shared.limits import IDLE_S
from shared.panels import DEADLINE_HEADER
from shared.tokens import ServiceTokens
from shared.tracing import Kind
from shared.web import REQUEST_ID_HEADER

HeaderList = list[tuple[str, str]]


@asynccontextmanager
async def http_transport(settings: Settings, read_timeout_s: float) -> AsyncIterator[Transport]:
    """Connections to the services. Used without `httpx.AsyncClient`, which would keep cookies between callers.

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


async def read_limited(response: httpx.Response, max_bytes: int) -> bytes:
    """The body of a response. Raises `BadAnswer` as soon as it is larger than that."""
    body = bytearray()
    with _translated():
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > max_bytes:
                raise BadAnswer(f"more than {max_bytes} bytes")
    return bytes(body)


async def fetch(transport: httpx.AsyncBaseTransport, url: str, max_bytes: int) -> bytes:
    """The body of a plain GET that succeeds. Raises `UpstreamFailed`."""
    with _translated():
        response = await transport.handle_async_request(httpx.Request("GET", url))
    try:
        if response.status_code != httpx.codes.OK:
            raise BadAnswer(f"status {response.status_code}")
        return await read_limited(response, max_bytes)
    finally:
        await response.aclose()


class Upstream:
    """One service, reached by one base URL or by several in turn."""

    def __init__(self, base_urls: str, transport: Transport, tokens: ServiceTokens, settings: Settings) -> None:
        self._base_urls = [httpx.URL(url) for url in base_urls.split(",")]
        self._turn = 0
        self._transport = AsyncPyqwestTransport(transport)
        self._tokens = tokens
        self._wires = [Wire(url, settings.connect_timeout_s, settings.idle_connections) for url in base_urls.split(",")]

    def close(self) -> None:
        """Close the connections that panels come by; the transport is its owner's to close."""
        for wire in self._wires:
            wire.close()

    def busy(self) -> int:
        """Connections on which a panel is being asked for."""
        return sum(wire.busy for wire in self._wires)

    def idle(self) -> int:
        """Connections kept for the next question."""
        return sum(wire.idle for wire in self._wires)

    async def send(
        self, method: str, target: str, headers: HeaderList, body: bytes | httpx.AsyncByteStream, remaining_s: float
    ) -> httpx.Response:
        """Send a request as the gateway; the caller closes the response. Raises `UpstreamFailed`.

        `target` is path and query. A replica that cannot be connected to is passed over for the next.
        """
        with tracing.span(method, Kind.CLIENT) as span:
            response = await self._send(method, target, headers, body, remaining_s)
            span.set({"http.request.method": method, "http.response.status_code": response.status_code})
        return response

    async def _send(
        self, method: str, target: str, headers: HeaderList, body: bytes | httpx.AsyncByteStream, remaining_s: float
    ) -> httpx.Response:
        content = {"content": body} if isinstance(body, bytes) else {"stream": body}
        every = [*headers, *self._own_headers(remaining_s)]
        refused: Unreachable | None = None
        for base_url in self._in_turn():
            try:
                with _translated():
                    request = httpx.Request(method, _url(base_url, target), headers=every, **content)
                    return await self._transport.handle_async_request(request)
            except Unreachable as failure:
                refused = failure
        raise refused or Unreachable

    def next_replica(self) -> int:
        """Whose turn it is."""
        self._turn = (self._turn + 1) % len(self._base_urls)
        return self._turn

    async def ask(self, path: str, user_ids: Sequence[str], remaining_s: float, replica: int, max_bytes: int) -> bytes:
        """The answer to a panel query for these users; of the replica, or of the next that can be connected to.

        Raises `UpstreamFailed`.
        """
        body = b'{"ids":["%s"]}' % '","'.join(user_ids).encode()
        headers = "".join([f"{name}: {value}\r\n" for name, value in self._own_headers(remaining_s)])
        refused: Unreachable | None = None
        for number in range(replica, replica + len(self._wires)):
            try:
                return await self._wires[number % len(self._wires)].post(path, headers, body, max_bytes)
            except Unreachable as failure:
                refused = failure
        raise refused or Unreachable

    async def openapi(self, max_bytes: int) -> bytes:
        """The service's own description. Raises `UpstreamFailed`."""
        return await fetch(self._transport, f"{next(self._in_turn())}".rstrip("/") + "/openapi.json", max_bytes)

    def _in_turn(self) -> Iterator[httpx.URL]:
        first = self.next_replica()
        yield from self._base_urls[first:]
        yield from self._base_urls[:first]

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


@lru_cache(maxsize=256)
def _url(base_url: httpx.URL, target: str) -> httpx.URL:
    """httpx spends 100 µs on parsing a URL; most are asked for again and again."""
    return base_url.copy_with(raw_path=base_url.raw_path.rstrip(b"/") + target.encode())


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as refused:
        raise Unreachable(str(refused)) from refused
    except (httpx.TimeoutException, TimeoutError) as late:
        raise TooLate(str(late)) from late
    except httpx.TransportError as broken:
        raise BadAnswer(str(broken)) from broken
