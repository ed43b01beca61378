"""The streams of one user: a changed panel is read once for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from random import uniform
from typing import Any
from uuid import UUID

from services.gateway.errors import UserNotFound
from services.gateway.live.sse import PanelNews
from services.gateway.live.subscription import Subscription
from services.gateway.panels import Subject
from services.gateway.settings import Tuning
from shared.observability.logs import get_logger
from shared.token_bucket import TokenBucket

log = get_logger(__name__)

ReadPanel = Callable[[UUID, str, Subject | None], Awaitable[PanelNews]]
"""Raises `UserNotFound`."""


class Channel:
    """Reads panels and sends them to the streams; `close` ends that.

    Every panel is read again after about `stream_recheck_s`, which covers changes without an event.
    """

    def __init__(self, user_id: UUID, read: ReadPanel, tuning: Tuning) -> None:
        self.subject: Subject | None = None
        """The user as services know them, from the most recent stream."""
        self._user_id = user_id
        self._read = read
        self._tuning = tuning
        self._bucket = TokenBucket(1 / tuning.stream_reads_per_s, tuning.stream_reads_per_s)
        self._streams: set[Subscription] = set()
        self._due: dict[str, bool] = {}
        """Panels to be read, and whether they are sent even if they are unchanged."""
        self._following: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retries: dict[str, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        self._recheck_timer = self._recheck_later()

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(tuple(self._streams))

    def join(self, stream: Subscription) -> None:
        """Send it every panel, as each arrives, and from then on the changes."""
        self._streams.add(stream)
        self._start(self._welcome(stream))

    def leave(self, stream: Subscription) -> None:
        self._streams.discard(stream)

    def close(self) -> None:
        self._recheck_timer.cancel()
        for timer in self._retries.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()

    def changed(self, panels: Iterable[str]) -> None:
        """These panels have changed, or may have."""
        for panel in panels:
            self._want(panel, even_if_known=True)

    def _want(self, panel: str, *, even_if_known: bool) -> None:
        if not any(panel in stream.panels for stream in self._streams):
            return
        self._due[panel] = even_if_known or self._due.get(panel, False)
        if panel not in self._following:
            self._following.add(panel)
            self._start(self._follow(panel))

    async def _follow(self, panel: str) -> None:
        """Read until no further read has been requested."""
        try:
            while panel in self._due:
                await asyncio.sleep(self._bucket.turn(self._loop.time()))
                even_if_known = self._due.pop(panel)
                news = await self._look(panel)
                for stream in self:
                    stream.tell_panel(news, even_if_known=even_if_known)
        finally:
            self._following.discard(panel)

    async def _welcome(self, stream: Subscription) -> None:
        await asyncio.gather(*(self._introduce(stream, panel) for panel in stream.panels))
        stream.tell_ready()

    async def _introduce(self, stream: Subscription, panel: str) -> None:
        stream.tell_panel(await self._look(panel), even_if_known=False)

    async def _look(self, panel: str) -> PanelNews:
        news = await self._read(self._user_id, panel, self.subject)
        if not news.fresh and panel not in self._retries:
            self._retries[panel] = self._loop.call_later(self._tuning.stream_retry_s, self._retry, panel)
        return news

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        gone = isinstance(error, UserNotFound)
        if not gone:
            log.error("panels could not be read for live streams", exc_info=error)
        for stream in self:
            stream.end("user_gone" if gone else "failed")

    def _retry(self, panel: str) -> None:
        del self._retries[panel]
        self._want(panel, even_if_known=False)

    def _recheck_later(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._tuning.stream_recheck_s * uniform(0.8, 1.2), self._recheck)

    def _recheck(self) -> None:
        for panel in {panel for stream in self._streams for panel in stream.panels}:
            self._want(panel, even_if_known=False)
        self._recheck_timer = self._recheck_later()
