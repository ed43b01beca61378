"""Exchanges, queues and bindings of one virtual host. Pure, like the queues."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.lab.simulation.amqp.frames import (
    ChannelFailed,
    NotModelled,
    inequivalent,
    not_found,
    precondition_failed,
    refused,
)
from tools.lab.simulation.amqp.queues import Options, Queue

DEFAULT = ""
TYPES = ("topic", "fanout", "direct")
ARGUMENTS = {
    "x-queue-type": str,
    "x-delivery-limit": int,
    "x-dead-letter-exchange": str,
    "x-dead-letter-routing-key": str,
    "x-dead-letter-strategy": str,
    "x-overflow": str,
}
"""The arguments of queues that the model knows. Nothing limits the length of its queues, so none overflows."""

Binding = tuple[str, str, str]
"""Exchange, queue and routing key."""


@dataclass(frozen=True, slots=True)
class Exchange:
    name: str
    type: str
    durable: bool
    auto_delete: bool
    internal: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy for queues, as in RabbitMQ's definitions."""

    pattern: str
    priority: int
    definition: Mapping[str, Any]


class Topology:
    def __init__(self, policies: tuple[Policy, ...]) -> None:
        self._policies = sorted(policies, key=lambda policy: -policy.priority)
        self.exchanges: dict[str, Exchange] = {}
        self.queues: dict[str, Queue] = {}
        self.bindings: dict[Binding, None] = {}
        self._routes: dict[tuple[str, str], list[Queue]] = {}
        """The queues by exchange and routing key, until a binding changes."""

    def policy(self, queue: str) -> dict[str, Any]:
        """Return the definition of the policy that applies to a queue; empty if none does."""
        return next((dict(one.definition) for one in self._policies if re.search(one.pattern, queue)), {})

    def exchange(self, name: str) -> Exchange:
        """Raises `ChannelFailed` 404."""
        if name == DEFAULT:
            return Exchange(DEFAULT, "direct", durable=True, auto_delete=False, internal=False)
        if name not in self.exchanges:
            raise not_found("exchange", name)
        return self.exchanges[name]

    def queue(self, name: str, connection: object) -> Queue:
        """Return a queue that this connection may use. Raises `ChannelFailed` 404 and 405."""
        if name not in self.queues:
            raise not_found("queue", name)
        queue = self.queues[name]
        if queue.owner is not None and queue.owner is not connection:
            raise ChannelFailed(
                405, f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '/'"
            )
        return queue

    def declare_exchange(self, declared: Exchange) -> None:
        """Raises `ChannelFailed` 403 and 406, and `NotModelled`."""
        if declared.type not in TYPES:
            raise NotModelled(f"exchange of the type {declared.type!r}")
        known = self.exchanges.get(declared.name)
        if known is None:
            if declared.name == DEFAULT or declared.name.startswith("amq."):
                raise refused(f"exchange name '{declared.name}' contains reserved prefix 'amq.*'")
            self.exchanges[declared.name] = declared
            return
        for attribute in ("type", "durable", "auto_delete", "internal"):
            received, current = getattr(declared, attribute), getattr(known, attribute)
            if received != current:
                raise inequivalent(attribute, "exchange", declared.name, received, current)

    def check_equivalent(self, queue: Queue, declared: Options) -> None:
        """Raises `ChannelFailed` 406 if the queue was declared with other options."""
        known = queue.options
        for attribute in ("durable", "exclusive", "auto_delete"):
            received, current = getattr(declared, attribute), getattr(known, attribute)
            if received != current:
                raise inequivalent(attribute, "queue", queue.name, received, current)
        for argument in ARGUMENTS:
            received, current = declared.arguments.get(argument), known.arguments.get(argument)
            if received != current:
                raise inequivalent(argument, "queue", queue.name, received, current)

    def add_queue(self, queue: Queue) -> None:
        """Raises `ChannelFailed` 403 and 406, and `NotModelled`."""
        options = queue.options
        for argument, value in options.arguments.items():
            if not isinstance(value, ARGUMENTS.get(argument, ())):
                raise NotModelled(f"argument {argument} = {value!r} of queues")
        if options.arguments.get("x-queue-type", "classic") not in ("classic", "quorum"):
            raise NotModelled(f"queue of the type {options.arguments['x-queue-type']!r}")
        for unsuitable, is_set in (
            ("non-durable", not options.durable),
            ("exclusive", options.exclusive),
            ("auto-delete", options.auto_delete),
        ):
            if options.is_quorum and is_set:
                raise precondition_failed(f"invalid property '{unsuitable}' for queue '{queue.name}' in vhost '/'")
        self.queues[queue.name] = queue

    def bind(self, binding: Binding, connection: object) -> None:
        """Raises `ChannelFailed` 403, 404 and 405."""
        exchange, queue, _ = binding
        if exchange == DEFAULT:
            raise refused("operation not permitted on the default exchange")
        self.queue(queue, connection)
        self.exchange(exchange)
        self.bindings[binding] = None
        self._routes.clear()

    def unbind(self, binding: Binding) -> None:
        """Remove a binding, if it exists."""
        if binding in self.bindings:
            self._drop([binding])

    def delete_exchange(self, name: str) -> None:
        """Raises `ChannelFailed` 403; an exchange that does not exist is no error."""
        if name == DEFAULT:
            raise refused("operation not permitted on the default exchange")
        self.exchanges.pop(name, None)
        self.bindings = {binding: None for binding in self.bindings if binding[0] != name}
        self._routes.clear()

    def delete_queue(self, name: str) -> Queue:
        """Delete a queue together with its bindings, and with the auto-delete exchanges that have no other."""
        queue = self.queues.pop(name)
        queue.is_deleted = True
        self._drop([binding for binding in self.bindings if binding[1] == name])
        return queue

    def forget_transient(self) -> None:
        """Forget what does not survive a restart of the broker."""
        for name in [name for name, queue in self.queues.items() if not queue.options.durable or queue.owner]:
            self.delete_queue(name)
        for name in [name for name, exchange in self.exchanges.items() if not exchange.durable]:
            self.delete_exchange(name)

    def route(self, exchange: Exchange, routing_key: str) -> list[Queue]:
        """Return the queues that receive a message, each once, in the order of their bindings."""
        if exchange.name == DEFAULT:
            return [self.queues[routing_key]] if routing_key in self.queues else []
        route = self._routes.get((exchange.name, routing_key))
        if route is None:
            names = dict.fromkeys(
                queue
                for source, queue, key in self.bindings
                if source == exchange.name and matches(exchange.type, key, routing_key)
            )
            route = self._routes[exchange.name, routing_key] = [self.queues[name] for name in names]
        return route

    def _drop(self, bindings: list[Binding]) -> None:
        self._routes.clear()
        for binding in bindings:
            del self.bindings[binding]
        for name in dict.fromkeys(binding[0] for binding in bindings):
            exchange = self.exchanges.get(name)
            if exchange and exchange.auto_delete and not any(source == name for source, _, _ in self.bindings):
                del self.exchanges[name]


def matches(exchange_type: str, binding_key: str, routing_key: str) -> bool:
    """Return whether a message with this routing key goes through a binding."""
    if exchange_type == "fanout":
        return True
    if exchange_type == "direct":
        return binding_key == routing_key
    return _matches_topic(_words(binding_key), _words(routing_key))


def _words(key: str) -> list[str]:
    return key.split(".") if key else []


def _matches_topic(pattern: list[str], words: list[str]) -> bool:
    """`*` stands for one word, and `#` for any number of them."""
    if not pattern:
        return not words
    first, *rest = pattern
    if first == "#":
        return any(_matches_topic(rest, words[at:]) for at in range(len(words) + 1))
    return bool(words) and first in ("*", words[0]) and _matches_topic(rest, words[1:])
