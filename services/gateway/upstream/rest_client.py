"""The HTTP client of REST panels: httpx's interface on the gateway's own connections.

httpx needs about 90 µs for a request, without the connection. Half of it is `send`, with redirects, cookies and
authentication, which panels do not have; the other half is `build_request`, which merges headers and URLs.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, cast

import httpx

from services.gateway.upstream.errors import UpstreamFailed
from services.gateway.upstream.http1 import ConnectionPool, header_lines
from services.gateway.upstream.resilience import MAX_PANEL_BYTES

ACCEPT = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "dashboard-gateway"}
NO_BODY = httpx.ByteStream(b"")


class RestClient(httpx.AsyncClient):
    """Sends requests as they are, without cookies, redirects or proxies, and reads each response to its end. Deadlines
    are those of its callers."""

    def __init__(self, pools: Sequence[ConnectionPool], headers: Iterable[tuple[str, str]]) -> None:
        declared = httpx.Headers(ACCEPT)
        declared.update(dict(headers))
        self._sender = PoolTransport(pools, declared)
        super().__init__(transport=self._sender, timeout=None, trust_env=False)

    async def send(self, request: httpx.Request, **_options: Any) -> httpx.Response:
        """Raises `UpstreamFailed`."""
        return await self._sender.handle_async_request(request)


class PoolTransport(httpx.AsyncBaseTransport):
    """Sends GETs to the replicas of one service, with these headers before the request's own. The extension `target`
    replaces the path of the URL, as in httpx's own transport."""

    def __init__(self, pools: Sequence[ConnectionPool], headers: httpx.Headers) -> None:
        self._pools = {_origin(httpx.URL(pool.base_url)): pool for pool in pools}
        self._only = pools[0] if len(pools) == 1 else None
        self._headers = header_lines(headers.raw)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the whole response. Raises `UpstreamFailed`; a body larger than a panel is a `Refused`."""
        pool = self._only or self._pools[_origin(request.url)]
        exchange = _Exchange()
        target = request.extensions.get("target") or request.url.raw_path
        sent = pool.get(target, self._headers + header_lines(request.headers.raw), MAX_PANEL_BYTES, exchange)
        try:
            body = await exchange.body
        except asyncio.CancelledError:
            sent.cancel()
            raise
        response = httpx.Response(sent.status, headers=sent.headers, stream=httpx.ByteStream(body))
        response.headers.encoding = "latin-1"
        return response


def _origin(url: httpx.URL) -> tuple[str, bytes]:
    return url.scheme, url.netloc


class _Exchange:
    """Turns the callbacks of a connection into a future."""

    def __init__(self) -> None:
        self.body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def received(self, body: bytes) -> None:
        if not self.body.done():
            self.body.set_result(body)

    def failed(self, failure: UpstreamFailed) -> None:
        if not self.body.done():
            self.body.set_exception(failure)


def body_of(response: httpx.Response) -> bytes:
    """Return the body of a response of `RestClient` as it was sent, without unpacking it."""
    return b"".join(cast("httpx.ByteStream", response.stream))
