"""The state of a model broker, and what its channels do to it. Nothing here waits; time is the running loop's."""

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from pamqp.commands import Basic

from tools.lab.simulation.amqp.faults import BrokerFaults
from tools.lab.simulation.amqp.frames import ChannelFailed, ConnectionFailed, precondition_failed
from tools.lab.simulation.amqp.queues import Content, Message, Options, Queue, Reason
from tools.lab.simulation.amqp.topology import Policy, Topology

Stored = tuple[Queue, Message]
"""A copy of a message, and the queue that has it."""


class Broker:
    def __init__(self, random: Random, faults: BrokerFaults, policies: Sequence[Policy]) -> None:
        self.random = random
        self.faults = faults
        self.topology = Topology(tuple(policies))
        self.not_modelled: list[str] = []
        self.is_blocked = False
        """Whether memory or disk is low: no connection may publish."""

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def happens(self, probability: float) -> bool:
        """Let the seed decide. Draws no number for what never happens."""
        return probability > 0 and self.random.random() < probability

    def route(self, content: Content) -> list[Queue]:
        """Return the queues that should receive a message. Raises `ChannelFailed` 404."""
        return self.topology.route(self.topology.exchange(content.exchange), content.routing_key)

    def store(self, queues: Sequence[Queue], content: Content) -> list[Stored]:
        """Append a message to each queue, and deliver what can be delivered."""
        stored = [(queue, queue.store(self._for(queue, content), self.now)) for queue in queues]
        for queue in queues:
            queue.deliver()
        return stored

    def _for(self, queue: Queue, content: Content) -> Content:
        if queue.owner is not None and self.happens(self.faults.garbled):
            return replace(content, properties=Basic.Properties(), body=b"not JSON")
        return content

    def declare_queue(self, name: str, declared: Options, connection: object) -> Queue:
        """Return the queue, new or existing. An empty name gets one. Raises `ChannelFailed`."""
        if not name:
            name = f"amq.gen-{self.random.getrandbits(128):032x}"
        elif name in self.topology.queues:
            queue = self.topology.queue(name, connection)
            self.topology.check_equivalent(queue, declared)
            return queue
        owner = connection if declared.exclusive else None
        policy = {} if declared.exclusive else self.topology.policy(name)
        options = Options(declared.durable, declared.exclusive, declared.auto_delete, declared.arguments, policy)
        queue = Queue(name, options, owner, self._dies)
        self.topology.add_queue(queue)
        return queue

    def delete_queue(self, name: str) -> int:
        """Delete a queue with its messages, and tell its consumers. Returns the number of messages that were ready."""
        queue = self.topology.delete_queue(name)
        self._cancel(queue)
        return len(queue)

    def cancel_consumers(self, name: str) -> None:
        """Cancel all consumers of a queue, as RabbitMQ does if a queue loses its leader. In-flight messages stay with
        their channels."""
        queue = self.topology.queues[name]
        self._cancel(queue)
        self.delete_if_unused(queue)

    def delete_if_unused(self, queue: Queue) -> None:
        """The last consumer of this queue may just have left."""
        if queue.options.auto_delete and not queue.consumers and queue.name in self.topology.queues:
            self.delete_queue(queue.name)

    def bind(self, exchange: str, queue: str, routing_key: str, connection: object) -> None:
        """Raises `ChannelFailed`. Dead letters that had no queue find this one."""
        self.topology.bind((exchange, queue, routing_key), connection)
        for each in list(self.topology.queues.values()):
            each.bury_again(self.now)

    def check_unused(self, queue: Queue, *, if_unused: bool, if_empty: bool) -> None:
        """Raises `ChannelFailed` 406; a quorum queue knows no such conditions, as RabbitMQ says with 540."""
        if queue.options.is_quorum and (if_unused or if_empty):
            raise ConnectionFailed(540, f"NOT_IMPLEMENTED - cannot delete queue '{queue.name}' in vhost '/'")
        if if_unused and queue.consumers:
            raise precondition_failed(f"queue '{queue.name}' in vhost '/' in use")
        if if_empty and len(queue):
            raise precondition_failed(f"queue '{queue.name}' in vhost '/' is not empty")

    def _cancel(self, queue: Queue) -> None:
        for consumer in list(queue.consumers):
            queue.remove(consumer)
            consumer.cancelled()

    def _dies(self, queue: Queue, message: Message, reason: Reason) -> bool:
        """Publish a dead letter. Returns whether a queue has it, so that its own queue may forget it."""
        if queue.options.dead_letter_exchange is None:
            return True
        content = _dead_letter(queue, message, reason, self.now)
        try:
            targets = self.route(content)
        except ChannelFailed:
            return False
        for target, copied in self.store(targets, content):
            if queue.options.keeps_dead_letters:
                target.confirm(copied)
        return bool(targets)


def _dead_letter(queue: Queue, message: Message, reason: Reason, now: float) -> Content:
    """Return the message as it is published to the dead-letter exchange: with the history of its deaths."""
    content = message.content
    headers: dict[str, Any] = dict(content.properties.headers or {})
    earlier = [dict(death) for death in headers.get("x-death", [])]
    known = next((death for death in earlier if death["queue"] == queue.name and death["reason"] == reason), None)
    newest = known or {
        "reason": reason,
        "queue": queue.name,
        "exchange": content.exchange,
        "routing-keys": [content.routing_key],
        "time": datetime.fromtimestamp(int(now), UTC),
    }
    newest["count"] = newest.get("count", 0) + 1
    headers["x-death"] = [newest, *(death for death in earlier if death is not known)]
    headers.setdefault("x-first-death-exchange", content.exchange)
    headers.setdefault("x-first-death-queue", queue.name)
    headers.setdefault("x-first-death-reason", reason)
    properties = copy(content.properties)
    properties.headers = headers
    routing_key = queue.options.dead_letter_routing_key or content.routing_key
    return Content(queue.options.dead_letter_exchange or "", routing_key, properties, content.body)
