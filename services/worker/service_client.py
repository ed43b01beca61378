"""Calls of other services, with this worker's service token, to each of their replicas in turn."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle

import httpx

from shared.contracts.internal_api import IDLE_S
from shared.http.tokens import ServiceTokens
from shared.observability import telemetry

CONNECT_TIMEOUT_S = 2.0
NO_ANSWER = (httpx.HTTPError, TimeoutError)
"""Raised if there is no response: the service may or may not have received the request."""


class ServiceClient:
    def __init__(
        self, http: httpx.AsyncClient, base_urls: Sequence[str], tokens: ServiceTokens, timeout_s: float
    ) -> None:
        self._http = http
        self._base_urls = cycle(base_urls)
        self._tokens = tokens
        self._timeout_s = timeout_s

    @classmethod
    @asynccontextmanager
    async def open(cls, base_urls: str, tokens: ServiceTokens, timeout_s: float) -> AsyncIterator["ServiceClient"]:
        """A client that keeps its connections until the block is left. `base_urls` are separated by commas."""
        urls = [url.strip().rstrip("/") for url in base_urls.split(",")]
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(keepalive_expiry=IDLE_S),
            trust_env=False,
        ) as http:
            yield cls(http, urls, tokens, timeout_s)

    async def send(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        """Send a request with a JSON body. Raises one of `NO_ANSWER`."""
        headers = {"Authorization": f"Bearer {self._tokens.token()}", "Content-Type": "application/json"}
        if traceparent := telemetry.traceparent():
            headers["traceparent"] = traceparent
        async with asyncio.timeout(self._timeout_s):
            return await self._http.request(method, next(self._base_urls) + path, content=content, headers=headers)
