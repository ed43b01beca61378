"""GETs several URLs of the services concurrently, up to a maximum number at a time."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from pyqwest import Transport

from services.gateway.upstream import responses
from services.gateway.upstream.errors import TooLate, UpstreamFailed


@dataclass(frozen=True)
class Fetched:
    status_code: int
    body: bytes


class Fetcher:
    """Fetches small documents over one transport, at most `at_once` at a time."""

    def __init__(self, transport: Transport, *, at_once: int, max_bytes: int) -> None:
        self._transport = transport
        self._max_bytes = max_bytes
        self._places = asyncio.Semaphore(at_once)

    async def fetch(self, url: str, timeout_s: float) -> Fetched:
        """GET a URL, whatever the status of the response. Raises `UpstreamFailed`: `TooLate` after `timeout_s`, not
        counting the time that this call waits for its turn."""
        async with self._places:
            try:
                async with asyncio.timeout(timeout_s):
                    response = await responses.request(self._transport, "GET", url)
                    try:
                        return Fetched(response.status_code, await responses.read_limited(response, self._max_bytes))
                    finally:
                        await response.aclose()
            except TimeoutError as late:
                raise TooLate(f"no answer within {timeout_s:g} s") from late

    async def fetch_many(self, urls: Iterable[str], timeout_s: float) -> dict[str, Fetched | UpstreamFailed]:
        """GET every URL, each within `timeout_s`. A failure replaces its response and affects no other."""
        every = list(urls)
        found = await asyncio.gather(*(self._outcome(url, timeout_s) for url in every))
        return dict(zip(every, found, strict=True))

    async def _outcome(self, url: str, timeout_s: float) -> Fetched | UpstreamFailed:
        try:
            return await self.fetch(url, timeout_s)
        except UpstreamFailed as failure:
            return failure
