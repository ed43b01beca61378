"""All live streams of this gateway: the open streams of each user, and the distribution of changes."""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from itertools import count
from random import uniform
from uuid import UUID

import msgspec

from services.gateway import metrics
from services.gateway.auth.revocations import Revocations
from services.gateway.dashboard.models import NoPanelAvailable, PanelError, PanelView
from services.gateway.dashboard.service import DashboardService
from services.gateway.errors import TooManyStreams
from services.gateway.live import sse
from services.gateway.live.channel import Channel
from services.gateway.live.feed import Change
from services.gateway.live.sse import PanelNews
from services.gateway.live.subscription import Subscription
from services.gateway.panels import Panels, Subject
from services.gateway.proxy.forward import Transfers
from services.gateway.settings import Settings, Tuning
from shared.http.identity import Caller
from shared.observability import tracing
from shared.observability.logs import get_logger
from shared.observability.tracing import Kind

log = get_logger(__name__)

IMPORT = "import"
SPREAD_S = 0.8
"""When anything may have changed, the panels of all users are not read at the same moment."""
CATCH_UP_S = 1.0


class _Id(msgspec.Struct, frozen=True):
    id: str


class _ImportHint(msgspec.Struct, frozen=True):
    progress: msgspec.Raw = msgspec.field(name="import")


_import_hint = msgspec.json.Decoder(_ImportHint)
_id = msgspec.json.Decoder(_Id)


class StreamHub:
    """Listens to the live feed. All streams of one user receive the same changes."""

    def __init__(
        self,
        dashboards: DashboardService,
        panels: Panels,
        revocations: Revocations,
        transfers: Transfers,
        settings: Settings,
        tuning: Tuning,
    ) -> None:
        self._dashboards = dashboards
        self._panels = {panel.name: panel for panel in panels}
        self._revocations = revocations
        self._transfers = transfers
        self._budget_s = settings.budget_ms / 1000
        self._tuning = tuning
        self._channels: dict[UUID, Channel] = {}
        self._numbers = count()
        self._feed = False
        self._stopping = False

    def __len__(self) -> int:
        return sum(map(len, self._channels.values()))

    def use(self, dashboards: DashboardService, panels: Panels) -> None:
        """Read these panels from now on. All streams end, and their clients reconnect and see the new panels."""
        self._dashboards = dashboards
        self._panels = {panel.name: panel for panel in panels}
        for stream in self._each():
            stream.end("reloaded")

    def open(
        self,
        caller: Caller,
        expires: float,
        panels: Collection[str],
        known: Mapping[str, str],
        subject: Subject | None = None,
    ) -> Subscription:
        """Open a stream of a user, to be closed by the caller. Raises `TooManyStreams`.

        While this process is shutting down the stream ends at once, and its client reconnects to another gateway.
        """
        channel = self._channels.get(caller.user_id)
        if channel and len(channel) >= self._tuning.stream_max_per_user:
            raise TooManyStreams(f"at most {self._tuning.stream_max_per_user} at a time")
        if channel is None:
            channel = self._channels[caller.user_id] = Channel(caller.user_id, self._read, self._tuning)
        channel.subject = subject
        stream = Subscription(caller, expires, panels, known, self._tuning)
        if not self._feed:
            stream.tell_feed(live=False)
        if self._stopping:
            stream.end("shutting_down")
        channel.join(stream)
        metrics.STREAMS.inc()
        return stream

    def close(self, stream: Subscription) -> None:
        channel = self._channels[stream.caller.user_id]
        channel.leave(stream)
        metrics.STREAMS.dec()
        if not channel:
            channel.close()
            del self._channels[stream.caller.user_id]

    def retry_ms(self) -> int:
        """When a client should reconnect, with jitter."""
        return int(uniform(0.5, 1.5) * CATCH_UP_S * 1000)

    def feed_came(self) -> None:
        self._feed = True
        self._tell_feed()
        self._everything_changed()

    def feed_lost(self) -> None:
        self._feed = False
        self._tell_feed()

    def changed(self, change: Change) -> None:
        channel = self._channels.get(change.user_id)
        if channel is None:
            return
        known = self._panels
        channel.changed(known if change.panels is None else [name for name in change.panels if name in known])
        if change.kind == IMPORT:
            _tell_import(channel, change.body)

    def touched(self, user_id: UUID, panels: Collection[str]) -> None:
        """A write of the user has passed through this gateway: notify the streams even while the feed is
        disconnected."""
        if channel := self._channels.get(user_id):
            channel.changed(panels)

    def changed_unreadably(self) -> None:
        self._everything_changed()

    def stop(self) -> None:
        """End all streams, including new ones: this process is shutting down."""
        self._stopping = True
        for stream in self._each():
            stream.end("shutting_down")

    async def watch_sessions(self) -> None:
        """End the streams whose token is no longer valid, as soon as that is known, and downloads whose session has
        ended. Runs until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._tuning.stream_session_check_s):
                    await self._revocations.more()
            self._transfers.end(self._revocations.knows)
            now = time.time()
            for stream in self._each():
                if self._revocations.knows(stream.caller):
                    stream.end("session_ended")
                elif stream.expires <= now:
                    stream.end("token_expired")

    def _each(self) -> Iterable[Subscription]:
        return (stream for channel in list(self._channels.values()) for stream in channel)

    def _tell_feed(self) -> None:
        for stream in self._each():
            stream.tell_feed(self._feed)

    def _everything_changed(self) -> None:
        loop = asyncio.get_running_loop()
        for channel in self._channels.values():
            loop.call_later(uniform(0, SPREAD_S), channel.changed, self._panels)

    async def _read(self, user_id: UUID, panel: str, subject: Subject | None) -> PanelNews:
        number = next(self._numbers)
        try:
            # A separate trace: that of the request that opened the stream would never end.
            with tracing.follow(None, "live read", Kind.INTERNAL):
                panels = (self._panels[panel],)
                dashboard, _ = await self._dashboards.read(user_id, panels, self._budget_s, subject=subject)
            view = dashboard.panels[panel]
        except KeyError:  # the panel has been removed, and its streams are about to end
            view = PanelView("unavailable", error=PanelError("internal", retryable=False))
        except NoPanelAvailable as none:
            view = none.panels[panel]
        return sse.panel_news(panel, number, view)


def _tell_import(channel: Channel, body: bytes) -> None:
    try:
        progress = _import_hint.decode(body).progress
        import_id = _id.decode(progress).id
    except msgspec.DecodeError as broken:
        log.warning("progress of an import cannot be read", reason=str(broken))
        return
    for stream in channel:
        stream.tell_import(import_id, sse.frame("import", bytes(progress)))
