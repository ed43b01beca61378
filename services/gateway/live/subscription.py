"""One open live stream: the changes that its client has not received yet, and its user.

Nothing accumulates for a slow client: only the latest version of each panel is kept, and the latest state of a few
imports.
"""

import asyncio
from collections.abc import Collection, Mapping

from starlette.types import Send

from services.gateway import metrics
from services.gateway.live import sse
from services.gateway.live.sse import PanelNews
from services.gateway.settings import Tuning
from shared.http.identity import Caller

MAX_IMPORTS = 16


class SlowClient(Exception):
    """The client has read nothing for too long."""


class Subscription:
    """`known`: the digests of the panels that the client has from an earlier stream."""

    def __init__(
        self,
        caller: Caller,
        expires: float,
        panels: Collection[str],
        known: Mapping[str, str],
        tuning: Tuning,
    ) -> None:
        self.caller = caller
        self.expires = expires
        self.panels = frozenset(panels)
        self._tuning = tuning
        self._digests = {panel: digest for panel, digest in known.items() if panel in self.panels}
        self._numbers: dict[str, int] = {}
        self._panels: dict[str, PanelNews] = {}
        self._imports: dict[str, bytes] = {}
        self._feed: bytes | None = None
        self._ready = False
        self._end: sse.Ending | None = None
        self._end_sent = False
        self._gone = False
        self._wake = asyncio.Event()

    def tell_panel(self, news: PanelNews, *, even_if_known: bool) -> None:
        """Send a panel, unless something newer was sent already, or the client has the same version."""
        if news.panel not in self.panels or news.number < self._numbers.get(news.panel, -1):
            return
        self._numbers[news.panel] = news.number
        if news.panel not in self._panels and not even_if_known and self._digests.get(news.panel) == news.digest:
            return
        self._panels[news.panel] = news
        self._wake.set()

    def tell_import(self, import_id: str, frame: bytes) -> None:
        self._imports.pop(import_id, None)
        self._imports[import_id] = frame
        if len(self._imports) > MAX_IMPORTS:
            del self._imports[next(iter(self._imports))]
        self._wake.set()

    def tell_feed(self, live: bool) -> None:
        self._feed = sse.feed(live)
        self._wake.set()

    def tell_ready(self) -> None:
        self._ready = True
        self._wake.set()

    def end(self, reason: sse.Ending) -> None:
        """Send the reason, and close."""
        self._end = self._end or reason
        self._wake.set()

    def leave(self) -> None:
        """The client has disconnected."""
        self._gone = True
        self._wake.set()

    async def run(self, send: Send, retry_ms: int) -> None:
        """Write until the end. Raises `SlowClient`."""
        chunk = sse.retry(retry_ms)
        while not self._gone:
            if chunk:
                await self._write(send, chunk)
            if self._end_sent:
                await self._write(send, b"", more=False)
                return
            chunk = await self._next()

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(self._tuning.stream_heartbeat_s):
                await self._wake.wait()
        except TimeoutError:
            return sse.HEARTBEAT
        self._wake.clear()
        return self._take()

    def _take(self) -> bytes:
        """Return everything that waits to be sent."""
        parts = [self._feed] if self._feed else []
        for news in self._panels.values():
            self._digests[news.panel] = news.digest
            parts.append(sse.with_id(self._digests, news.frame))
        parts += self._imports.values()
        if self._ready:
            parts.append(sse.with_id(self._digests, sse.ready()))
        if self._end:
            parts.append(sse.end(self._end))
            self._end_sent = True
        metrics.STREAM_EVENTS.counts[("panel",)] += len(self._panels)
        metrics.STREAM_EVENTS.counts[("import",)] += len(self._imports)
        self._panels, self._imports, self._feed, self._ready = {}, {}, None, False
        return b"".join(parts)

    async def _write(self, send: Send, chunk: bytes, *, more: bool = True) -> None:
        try:
            async with asyncio.timeout(self._tuning.stream_send_timeout_s):
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
        except TimeoutError:
            raise SlowClient from None
