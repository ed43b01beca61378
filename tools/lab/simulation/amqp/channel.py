"""One channel: what a client asks for on it, and what it has received and not yet settled."""

from copy import copy
from dataclasses import dataclass
from typing import Protocol

from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Confirm
from pamqp.commands import Channel as ChannelMethods
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader

from tools.lab.simulation.amqp import declarations, queues
from tools.lab.simulation.amqp.broker import Broker
from tools.lab.simulation.amqp.confirms import Confirms
from tools.lab.simulation.amqp.frames import (
    ChannelFailed,
    ConnectionFailed,
    NotModelled,
    content_frames,
    precondition_failed,
    refused,
)
from tools.lab.simulation.amqp.queues import Content, Message

NORMAL_PRIORITY = 4

Delivery = tuple[queues.Queue, Message, "Consumer | Fetch"]
Settlement = Basic.Ack | Basic.Nack | Basic.Reject


class Peer(Protocol):
    """The connection of a channel."""

    def send(self, channel: int, *frames: FrameTypes) -> None: ...

    def cut(self) -> None: ...


class Consumer:
    """What `basic.consume` has begun."""

    def __init__(self, channel: "Channel", queue: queues.Queue, method: Basic.Consume, prefetch: int) -> None:
        self.queue = queue
        self.tag = method.consumer_tag
        self.no_ack = method.no_ack
        self.is_exclusive = method.exclusive
        self.unsettled = 0
        self._channel = channel
        self._prefetch = prefetch

    @property
    def has_credit(self) -> bool:
        return self.no_ack or not self._prefetch or self.unsettled < self._prefetch

    def deliver(self, message: Message) -> None:
        self._channel.deliver(self, message)

    def cancelled(self) -> None:
        self._channel.consumer_cancelled(self)


@dataclass
class Fetch:
    """What `basic.get` has taken."""

    unsettled: int = 0


class Channel:
    def __init__(self, broker: Broker, peer: Peer, number: int) -> None:
        self.number = number
        self.is_closing = False
        """The broker has closed it, and waits for the client's reply."""
        self._broker = broker
        self._peer = peer
        self._consumers: dict[str, Consumer] = {}
        self._prefetch = 0
        self._tag = 0
        self._unsettled: dict[int, Delivery] = {}
        self._confirms: Confirms | None = None
        self._publish: Basic.Publish | None = None
        self._header = ContentHeader()
        self._body: list[bytes] = []

    @property
    def unsettled(self) -> int:
        return len(self._unsettled)

    def handle(self, frame: FrameTypes) -> None:
        """Do what the client asks for. Raises `ConnectionFailed`."""
        if self.is_closing:
            if isinstance(frame, ChannelMethods.Close):
                self._send(ChannelMethods.CloseOk())
            return
        try:
            if isinstance(frame, ContentHeader | ContentBody):
                self._take_content(frame)
            elif isinstance(frame, Frame):
                self._take_method(frame)
        except ConnectionFailed:
            raise
        except ChannelFailed as failed:
            self._fail(failed, frame)

    def stop_consuming(self) -> None:
        for consumer in list(self._consumers.values()):
            self._remove(consumer)

    def close(self) -> None:
        """Return what is unsettled to its queues; the channel is gone."""
        self.stop_consuming()
        if self._confirms:
            self._confirms.close()
        unsettled, self._unsettled = self._unsettled, {}
        for _, _, consumer in unsettled.values():
            consumer.unsettled = 0
        for queue in dict.fromkeys(queue for queue, _, _ in unsettled.values()):
            messages = [message for owner, message, _ in unsettled.values() if owner is queue]
            queue.give_back(messages, self._broker.now)
            queue.deliver()

    def deliver(self, consumer: Consumer, message: Message) -> None:
        tag = self._take(consumer.queue, message, consumer, no_ack=consumer.no_ack)
        content = message.content
        self._send(
            Basic.Deliver(consumer.tag, tag, message.returns > 0, content.exchange, content.routing_key),
            *_content(consumer.queue, message),
        )

    def consumer_cancelled(self, consumer: Consumer) -> None:
        """The broker has cancelled a consumer."""
        del self._consumers[consumer.tag]
        self._send(Basic.Cancel(consumer.tag, nowait=True))

    def _send(self, *frames: FrameTypes) -> None:
        self._peer.send(self.number, *frames)

    def _fail(self, failed: ChannelFailed, frame: FrameTypes) -> None:
        self.close()
        self.is_closing = True
        index = frame.index if isinstance(frame, Frame) else Basic.Publish.index
        self._send(ChannelMethods.Close(failed.code, failed.text, index >> 16, index & 0xFFFF))

    def _take_method(self, frame: Frame) -> None:
        if self._publish:
            raise ConnectionFailed(505, "UNEXPECTED_FRAME - expected content header")
        if isinstance(frame, Basic.Publish):
            self._publish = frame
            return
        if self._broker.happens(self._broker.faults.channel_closed):
            raise precondition_failed("the queue's leader is not available")
        match frame:
            case Basic.Ack() | Basic.Nack() | Basic.Reject():
                self._take_settlement(frame)
            case Basic.Qos():
                self._set_prefetch(frame)
            case Basic.Consume():
                self._consume(frame)
            case Basic.Cancel():
                self._cancel(frame)
            case Basic.Get():
                self._get(frame)
            case Confirm.Select():
                self._confirms = self._confirms or Confirms(self._send)
                self._reply(frame, Confirm.SelectOk())
            case _:
                self._reply(frame, declarations.answer(self._broker, self._peer, frame))

    def _reply(self, frame: Frame, reply: Frame) -> None:
        if not getattr(frame, "nowait", False):
            self._send(reply)

    # Publishing

    def _take_content(self, frame: ContentHeader | ContentBody) -> None:
        if self._publish is None:
            raise ConnectionFailed(505, "UNEXPECTED_FRAME - content without a method")
        if isinstance(frame, ContentHeader):
            self._header, self._body = frame, []
        else:
            self._body.append(frame.value)
        if sum(map(len, self._body)) < self._header.body_size:
            return
        method, self._publish = self._publish, None
        body = b"".join(self._body)
        self._take_message(method, Content(method.exchange, method.routing_key, self._header.properties, body))

    def _take_message(self, method: Basic.Publish, content: Content) -> None:
        if content.properties.expiration or (content.properties.priority or 0) > NORMAL_PRIORITY:
            raise NotModelled("expiration or priority of messages")
        targets = self._broker.route(content)
        if method.mandatory and not targets:
            returned = Basic.Return(312, "NO_ROUTE", content.exchange, content.routing_key)
            self._send(returned, *content_frames(content.properties, content.body))
        if self._confirms is None:
            self._broker.store(targets, content)
            return
        self._store_with_confirm(self._confirms, targets, content)

    def _store_with_confirm(self, confirms: Confirms, targets: list[queues.Queue], content: Content) -> None:
        broker, faults = self._broker, self._broker.faults
        if targets and broker.happens(faults.nack):
            taking = [queue for queue in targets[1:] if broker.random.random() < 0.5]
            confirms.refuse(confirms.published(broker.store(taking, content)))
            return
        tag = confirms.published(broker.store(targets, content))
        if broker.happens(faults.confirm_lost):
            self._peer.cut()
        elif broker.happens(faults.confirm_late):
            confirms.confirm(tag, after_s=broker.random.uniform(0, faults.confirm_late_s))
        else:
            confirms.confirm(tag)

    # Consuming

    def _set_prefetch(self, frame: Basic.Qos) -> None:
        if frame.prefetch_size or frame.global_:
            raise NotModelled("prefetch of a size or of a whole channel")
        self._prefetch = frame.prefetch_count
        self._send(Basic.QosOk())

    def _consume(self, frame: Basic.Consume) -> None:
        queue = self._broker.topology.queue(frame.queue, self._peer)
        if frame.arguments:
            raise NotModelled(f"arguments {frame.arguments!r} of consumers")
        if frame.consumer_tag in self._consumers:
            raise ConnectionFailed(530, f"NOT_ALLOWED - attempt to reuse consumer tag '{frame.consumer_tag}'")
        others = [one for one in queue.consumers if isinstance(one, Consumer)]
        if others and (frame.exclusive or any(one.is_exclusive for one in others)):
            raise refused(f"queue '{queue.name}' in vhost '/' in exclusive use")
        frame.consumer_tag = frame.consumer_tag or f"amq.ctag-{self._broker.random.getrandbits(128):032x}"
        consumer = self._consumers[frame.consumer_tag] = Consumer(self, queue, frame, self._prefetch)
        self._reply(frame, Basic.ConsumeOk(consumer.tag))
        queue.add(consumer)
        queue.deliver()

    def _cancel(self, frame: Basic.Cancel) -> None:
        if consumer := self._consumers.get(frame.consumer_tag or ""):
            self._remove(consumer)
        self._reply(frame, Basic.CancelOk(frame.consumer_tag))

    def _remove(self, consumer: Consumer) -> None:
        del self._consumers[consumer.tag]
        consumer.queue.remove(consumer)
        self._broker.delete_if_unused(consumer.queue)

    def _get(self, frame: Basic.Get) -> None:
        queue = self._broker.topology.queue(frame.queue, self._peer)
        message = queue.take()
        if message is None:
            self._send(Basic.GetEmpty())
            return
        fetch = Fetch()
        tag = self._take(queue, message, fetch, no_ack=frame.no_ack)
        queue.left_by(fetch)
        content = message.content
        self._send(
            Basic.GetOk(tag, message.returns > 0, content.exchange, content.routing_key, len(queue)),
            *_content(queue, message),
        )

    def _take(self, queue: queues.Queue, message: Message, consumer: Consumer | Fetch, *, no_ack: bool) -> int:
        """Number a delivery, and remember it until it is settled."""
        self._tag += 1
        if no_ack:
            queue.settle(message, self._broker.now)
        else:
            self._unsettled[self._tag] = queue, message, consumer
            consumer.unsettled += 1
        return self._tag

    # Settling

    def _take_settlement(self, frame: Settlement) -> None:
        broker, tag = self._broker, frame.delivery_tag or 0
        if broker.happens(broker.faults.settlement_lost):
            self._peer.cut()
            return
        settled = self._settled(tag, multiple=getattr(frame, "multiple", False))
        by_queue: dict[queues.Queue, list[Message]] = {}
        for queue, message, consumer in settled:
            by_queue.setdefault(queue, []).append(message)
            consumer.unsettled -= 1
            if isinstance(consumer, Consumer):
                queue.has_credit_again(consumer)
        for queue, messages in by_queue.items():
            self._settle(queue, messages, frame)
            if queue.name in broker.topology.queues and broker.happens(broker.faults.consumer_cancelled):
                broker.cancel_consumers(queue.name)
            queue.deliver()

    def _settle(
        self, queue: queues.Queue, messages: list[Message], frame: Basic.Ack | Basic.Nack | Basic.Reject
    ) -> None:
        now = self._broker.now
        if isinstance(frame, Basic.Ack):
            for message in messages:
                queue.settle(message, now)
        elif frame.requeue:
            queue.give_back(messages, now)
        else:
            for message in messages:
                queue.bury(message, "rejected", now)

    def _settled(self, tag: int, *, multiple: bool) -> list[Delivery]:
        """Return the deliveries that a frame settles, and forget them. Raises `ChannelFailed` 406."""
        if tag not in self._unsettled and not (multiple and tag == 0):
            raise precondition_failed(f"unknown delivery tag {tag}")
        tags = [each for each in self._unsettled if each <= tag or tag == 0] if multiple else [tag]
        return [self._unsettled.pop(each) for each in tags]


def _content(queue: queues.Queue, message: Message) -> list[FrameTypes]:
    """Return the frames of a delivered message; quorum queues tell how often it came back."""
    properties = message.content.properties
    if message.returns and queue.options.is_quorum:
        properties = copy(properties)
        properties.headers = {**(properties.headers or {}), "x-delivery-count": message.returns}
    return content_frames(properties, message.content.body)
