"""One connection of a client: the greeting, its channels, heartbeats, and its end."""

import asyncio
from typing import Any

from pamqp import frame as codec
from pamqp.commands import Channel as ChannelMethods
from pamqp.commands import Connection as Methods
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from tools.lab.simulation.amqp.broker import Broker
from tools.lab.simulation.amqp.channel import Channel
from tools.lab.simulation.amqp.frames import FRAME_MAX, ConnectionFailed, NotModelled, read_frame, read_protocol_header

CHANNEL_MAX = 2047
HEARTBEAT_S = 60
CAPABILITIES = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "consumer_priorities": True,
    "authentication_failure_close": True,
    "per_consumer_qos": True,
    "direct_reply_to": True,
}
PROPERTIES: dict[str, Any] = {
    "product": "RabbitMQ",
    "version": "4.0.0",
    "platform": "model",
    "capabilities": CAPABILITIES,
}
ENDS_S = 10.0
"""How long a client may take to answer `connection.close`."""


class Connection:
    def __init__(
        self, broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, users: dict[str, str]
    ) -> None:
        self._broker = broker
        self._reader = reader
        self._writer = writer
        self._users = users
        self._loop = asyncio.get_running_loop()
        self._channels: dict[int, Channel] = {}
        self._client: dict[str, Any] = {}
        """What the client can do."""
        self._is_lost = False
        self._is_closing = False
        self.is_blocked = False
        """Whether nothing is read from it, because it publishes while memory or disk is low."""
        self._resumed = asyncio.Event()
        self._heartbeat_s = 0
        self._beat: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._received = self._sent = self._loop.time()

    @property
    def unsettled(self) -> int:
        """The number of messages that it has received and not settled."""
        return sum(channel.unsettled for channel in self._channels.values())

    async def run(self) -> None:
        """Serve the client until its connection ends, for any reason."""
        try:
            await self._greet()
            while not self._is_lost and await self._serve_one():
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._lose()
            self._writer.close()

    def send(self, channel: int, *frames: FrameTypes) -> None:
        if not (self._is_lost or self._writer.is_closing()):
            self._sent = self._loop.time()
            self._writer.write(b"".join(codec.marshal(frame, channel) for frame in frames))

    def cut(self) -> None:
        """Abort the connection, as a crash or the network does. Unsettled messages return at once."""
        self._writer.transport.abort()
        self._lose()

    def close(self, text: str) -> None:
        """Close the connection as an operator does."""
        self._fail(ConnectionFailed(320, f"CONNECTION_FORCED - {text}"))

    def resume(self) -> None:
        """Publishers are no longer blocked."""
        if self.is_blocked:
            self.is_blocked = False
            if self._client.get("connection.blocked"):
                self.send(0, Methods.Unblocked())
        self._resumed.set()

    async def _greet(self) -> None:
        await read_protocol_header(self._reader)
        self.send(0, Methods.Start(0, 9, PROPERTIES, "AMQPLAIN PLAIN", "en_US"))
        started = await self._expect(Methods.StartOk)
        self._client = dict((started.client_properties or {}).get("capabilities") or {})
        credentials = [f"\0{user}\0{password}" for user, password in self._users.items()]
        if started.mechanism != "PLAIN" or started.response not in credentials:
            text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
            self.send(0, Methods.Close(403, text, 0, 0))
            raise ConnectionAbortedError(text)
        self.send(0, Methods.Tune(CHANNEL_MAX, FRAME_MAX, HEARTBEAT_S))
        self._heartbeat_s = (await self._expect(Methods.TuneOk)).heartbeat
        opened = await self._expect(Methods.Open)
        if opened.virtual_host != "/":
            text = f"NOT_ALLOWED - vhost {opened.virtual_host} not found"
            self.send(0, Methods.Close(530, text, Methods.Open.index >> 16, Methods.Open.index & 0xFFFF))
            raise ConnectionAbortedError(text)
        self.send(0, Methods.OpenOk())
        self._beat_later()

    async def _expect(self, kind: Any) -> Any:
        _, frame = await read_frame(self._reader)
        self._received = self._loop.time()
        if not isinstance(frame, kind):
            raise ConnectionAbortedError(f"expected {kind.name}, got {frame.name}")
        return frame

    async def _serve_one(self) -> bool:
        """Handle one frame. Returns False once the connection is closed."""
        number, frame = await read_frame(self._reader)
        self._received = self._loop.time()
        if self._is_lost:
            return False
        if self._broker.happens(self._broker.faults.cut):
            self.cut()
            return False
        if isinstance(frame, Methods.Close):
            self._lose_channels()
            self.send(0, Methods.CloseOk())
            return False
        if self._is_closing:
            return not isinstance(frame, Methods.CloseOk)
        try:
            self._dispatch(number, frame)
        except ConnectionFailed as failed:
            self._fail(failed)
        if self._broker.is_blocked and isinstance(frame, ContentHeader) and not self._is_lost:
            await self._wait_until_resumed()
        return True

    def _dispatch(self, number: int, frame: FrameTypes) -> None:
        if isinstance(frame, Heartbeat):
            return
        channel = self._channels.get(number)
        if isinstance(frame, ChannelMethods.Open):
            if channel or not number:
                raise ConnectionFailed(504, "CHANNEL_ERROR - second 'channel.open' seen")
            self._channels[number] = Channel(self._broker, self, number)
            self.send(number, ChannelMethods.OpenOk())
        elif channel is None:
            if isinstance(frame, ChannelMethods.Close):
                self.send(number, ChannelMethods.CloseOk())
            elif not isinstance(frame, ChannelMethods.CloseOk):
                raise ConnectionFailed(504, "CHANNEL_ERROR - expected 'channel.open'")
        elif isinstance(frame, ChannelMethods.CloseOk):
            del self._channels[number]
        elif isinstance(frame, ChannelMethods.Close) and not channel.is_closing:
            del self._channels[number]
            channel.close()
            self.send(number, ChannelMethods.CloseOk())
        else:
            channel.handle(frame)

    async def _wait_until_resumed(self) -> None:
        """RabbitMQ stops reading from a connection that publishes while memory or disk is low."""
        self._resumed.clear()
        self.is_blocked = True
        if self._client.get("connection.blocked"):
            self.send(0, Methods.Blocked("low on memory"))
        await self._resumed.wait()
        self._received = self._loop.time()

    def _fail(self, failed: ConnectionFailed) -> None:
        if isinstance(failed, NotModelled):
            self._broker.not_modelled.append(failed.text)
        self._lose_channels()
        self._is_closing = True
        self.send(0, Methods.Close(failed.code, failed.text, 0, 0))
        self._resumed.set()
        self._ending = self._loop.call_later(ENDS_S, self.cut)

    def _beat_later(self) -> None:
        if self._heartbeat_s:
            self._beat = self._loop.call_later(self._heartbeat_s / 2, self._heartbeat)

    def _heartbeat(self) -> None:
        """Send a heartbeat if nothing else was sent; give up a client that has been silent for two intervals."""
        now = self._loop.time()
        if not self.is_blocked and now - self._received > 2 * self._heartbeat_s:
            self.cut()
            return
        if self._writer.is_closing():
            self._lose()
            return
        if now - self._sent >= self._heartbeat_s / 2:
            self.send(0, Heartbeat())
        self._beat_later()

    def _lose(self) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        for timer in (self._beat, self._ending):
            if timer:
                timer.cancel()
        self._resumed.set()
        self._lose_channels()

    def _lose_channels(self) -> None:
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            channel.stop_consuming()
        for channel in channels:
            channel.close()
        for queue in [queue for queue in self._broker.topology.queues.values() if queue.owner is self]:
            self._broker.delete_queue(queue.name)
