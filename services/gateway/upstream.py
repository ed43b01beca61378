"""Talks to the services: one client for all, a list of base URLs for each.

UpstreamFailed
├── Unreachable   no connection; nothing was sent
├── TooLate       no answer in time
└── BadAnswer     an answer that cannot be used, or half of one
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import ClassVar
from uuid import UUID

import httpx
import msgspec
import structlog
from pyqwest import HTTPTransport
from pyqwest.httpx import AsyncPyqwestTransport

from services.gateway.dashboard import ErrorCode
from services.gateway.panels import MalformedAnswer, Panel, read_answer
from services.gateway.settings import Settings
from shared import telemetry
from shared.panels import DEADLINE_HEADER
from shared.tokens import ServiceTokens
from shared.web import REQUEST_ID_HEADER

HeaderList = list[tuple[str, str]]


class UpstreamFailed(Exception):
    code: ClassVar[ErrorCode]


class Unreachable(UpstreamFailed):
    code = "connect"


class TooLate(UpstreamFailed):
    code = "timeout"


class BadAnswer(UpstreamFailed):
    code = "bad_response"


@asynccontextmanager
async def http_transport(settings: Settings) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """Connections to the services. Used without `httpx.AsyncClient`, which would keep cookies between callers.

    A cancelled request closes its connection at once; what is sent and received is streamed as it is.
    """
    transport = HTTPTransport(
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.read_timeout_s,
        pool_max_idle_per_host=settings.idle_connections,
        follow_redirects=False,
        enable_gzip=False,
        enable_brotli=False,
        enable_zstd=False,
        enable_otel=False,
    )
    async with transport:
        yield AsyncPyqwestTransport(transport)


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

    def __init__(
        self,
        base_urls: str,
        transport: httpx.AsyncBaseTransport,
        tokens: ServiceTokens,
        max_panel_bytes: int,
    ) -> None:
        self._base_urls = [httpx.URL(url) for url in base_urls.split(",")]
        self._turn = 0
        self._transport = transport
        self._tokens = tokens
        self._max_panel_bytes = max_panel_bytes

    async def send(
        self, method: str, target: str, headers: HeaderList, body: bytes | httpx.AsyncByteStream, remaining_s: float
    ) -> httpx.Response:
        """Send a request as the gateway; the caller closes the response. Raises `UpstreamFailed`.

        `target` is path and query. A replica that cannot be connected to is passed over for the next.
        """
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

    async def panel(self, panel: Panel, user_id: UUID, remaining_s: float) -> msgspec.Raw:
        """One panel of one user, as JSON. Raises `UpstreamFailed` or `UserMissing`."""
        query = b'{"ids":["%s"]}' % str(user_id).encode()
        headers = [("Content-Type", "application/json")]
        response = await self.send("POST", panel.path, headers, query, remaining_s)
        try:
            if response.status_code != httpx.codes.OK:
                raise BadAnswer(f"status {response.status_code}")
            return read_answer(panel, user_id, await read_limited(response, self._max_panel_bytes))
        except MalformedAnswer as malformed:
            raise BadAnswer(str(malformed)) from malformed
        finally:
            await response.aclose()

    async def openapi(self, max_bytes: int) -> bytes:
        """The service's own description. Raises `UpstreamFailed`."""
        return await fetch(self._transport, f"{next(self._in_turn())}".rstrip("/") + "/openapi.json", max_bytes)

    def _in_turn(self) -> Iterator[httpx.URL]:
        self._turn = (self._turn + 1) % len(self._base_urls)
        yield from self._base_urls[self._turn :]
        yield from self._base_urls[: self._turn]

    def _own_headers(self, remaining_s: float) -> HeaderList:
        headers = [
            ("Authorization", f"Bearer {self._tokens.token()}"),
            (DEADLINE_HEADER, str(max(1, int(remaining_s * 1000)))),
        ]
        if traceparent := telemetry.traceparent():
            headers.append(("traceparent", traceparent))
        if request_id := structlog.contextvars.get_contextvars().get("request_id"):
            headers.append((REQUEST_ID_HEADER, request_id))
        return headers


@lru_cache(maxsize=256)
def _url(base_url: httpx.URL, target: str) -> httpx.URL:
    """httpx spends 100 µs on parsing a URL; those of the panels never change."""
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
