"""Queues: what is ready, what is in flight, who consumes, and what a crash of the broker leaves of it.

Pure: nothing here waits, reads a clock or draws a random number of its own.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, Protocol

from pamqp.commands import Basic

FLUSH_S = 1.0
"""After this time even an unconfirmed change of a queue has reached the disk."""

Reason = Literal["rejected", "delivery_limit"]


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """A message as it was published. Its copies in several queues share it."""

    exchange: str
    routing_key: str
    properties: Basic.Properties
    body: bytes

    @property
    def is_persistent(self) -> bool:
        return self.properties.delivery_mode == 2


@dataclass(slots=True, eq=False)
class Message:
    """A message in one queue. `returns` counts how often it was delivered and came back."""

    content: Content
    number: int
    returns: int = 0


@dataclass(frozen=True, slots=True)
class Options:
    """What a queue was declared with, and what its policy adds."""

    durable: bool = False
    exclusive: bool = False
    auto_delete: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)

    @property
    def is_quorum(self) -> bool:
        return self.arguments.get("x-queue-type") == "quorum"

    @property
    def delivery_limit(self) -> int | None:
        """How often a message may come back; the stricter of argument and policy. RabbitMQ 4 has 20 by default."""
        if not self.is_quorum:
            return None
        limits = [self.arguments.get("x-delivery-limit"), self.policy.get("delivery-limit")]
        limit = min((int(limit) for limit in limits if limit is not None), default=20)
        return limit if limit >= 0 else None

    @property
    def dead_letter_exchange(self) -> str | None:
        return self.arguments.get("x-dead-letter-exchange", self.policy.get("dead-letter-exchange"))

    @property
    def dead_letter_routing_key(self) -> str | None:
        return self.arguments.get("x-dead-letter-routing-key", self.policy.get("dead-letter-routing-key"))

    @property
    def keeps_dead_letters(self) -> bool:
        """Whether a dead letter stays in the queue until another queue has it."""
        strategy = self.arguments.get("x-dead-letter-strategy", self.policy.get("dead-letter-strategy"))
        return self.is_quorum and strategy == "at-least-once"


class Unsettled(Protocol):
    unsettled: int
    """How many messages it has received and not settled."""


class Consumer(Unsettled, Protocol):
    @property
    def has_credit(self) -> bool: ...

    def deliver(self, message: Message) -> None: ...

    def cancelled(self) -> None:
        """The broker has cancelled it."""


@dataclass(frozen=True, slots=True)
class _Change:
    """An entry of the log that has perhaps not reached the disk."""

    kind: Literal["stored", "settled"]
    message: Message
    at: float


Dies = Callable[["Queue", Message, Reason], bool]


class Queue:
    """`dies` is called with a message that is to be dead-lettered and returns whether it has been passed on; one that
    has not stays in `dead`."""

    def __init__(self, name: str, options: Options, owner: object, dies: Dies) -> None:
        self.name = name
        self.options = options
        self.owner = owner
        """The connection of an exclusive queue."""
        self.consumers: list[Consumer] = []
        self._leaving: list[Unsettled] = []
        """Consumers that were cancelled with unsettled messages."""
        self.is_deleted = False
        """Then nothing that was in flight comes back."""
        self.dead: deque[tuple[Message, Reason]] = deque()
        self._dies = dies
        self._turns: deque[Consumer] = deque()
        """The consumers that may have credit, in the order in which they are served."""
        self._ready: list[Message] = []
        self._returned: deque[Message] = deque()
        """Messages that came back to a quorum queue; they are delivered before the others, in this order."""
        self._number = 0
        self._log: deque[_Change] = deque()

    def __len__(self) -> int:
        """The number of messages that could be delivered."""
        return len(self._ready) + len(self._returned)

    def store(self, content: Content, now: float) -> Message:
        """Append a message; `deliver` it afterwards."""
        self._number += 1
        message = Message(content, self._number)
        self._ready.append(message)
        self._note("stored", message, now)
        return message

    def confirm(self, message: Message) -> None:
        """The publisher learns that the queue has this message: neither it nor an earlier change can be lost now."""
        for number, change in enumerate(self._log, 1):
            if change.kind == "stored" and change.message is message:
                for _ in range(number):
                    self._log.popleft()
                return

    def take(self) -> Message | None:
        """Return the next message, which is then in flight."""
        if self._returned:
            return self._returned.popleft()
        return self._ready.pop(0) if self._ready else None

    def deliver(self) -> None:
        """Give ready messages to the consumers that have credit, each in turn."""
        while len(self) and self._turns:
            consumer = self._turns.popleft()
            if consumer.has_credit and (message := self.take()):
                self._turns.append(consumer)
                consumer.deliver(message)

    def settle(self, message: Message, now: float) -> None:
        """Forget a message that was in flight."""
        self._note("settled", message, now)

    def give_back(self, messages: Iterable[Message], now: float) -> None:
        """Return messages that were in flight; `deliver` them afterwards. Those that came back too often die."""
        if self.is_deleted:
            return
        limit = self.options.delivery_limit
        for message in messages:
            message.returns += 1
            if limit is not None and message.returns > limit:
                self.bury(message, "delivery_limit", now)
            elif self.options.is_quorum:
                self._returned.append(message)
            else:
                insort(self._ready, message, key=_number)

    def bury(self, message: Message, reason: Reason, now: float) -> None:
        """Dead-letter a message that was in flight."""
        if self.is_deleted:
            return
        if self._dies(self, message, reason) or not self.options.keeps_dead_letters:
            self.settle(message, now)
        else:
            self.dead.append((message, reason))

    def bury_again(self, now: float) -> None:
        """Try to pass on the dead letters that no queue has taken."""
        waiting, self.dead = self.dead, deque()
        for message, reason in waiting:
            self.bury(message, reason, now)

    def purge(self, now: float) -> int:
        """Forget all messages that could be delivered, and return their number."""
        count = 0
        while message := self.take():
            self.settle(message, now)
            count += 1
        return count

    def add(self, consumer: Consumer) -> None:
        self.consumers.append(consumer)
        self._turns.append(consumer)

    @property
    def consumer_count(self) -> int:
        """As RabbitMQ reports it: a quorum queue counts each client with unsettled messages."""
        self._leaving = [one for one in self._leaving if one.unsettled and self.options.is_quorum]
        return len(self.consumers) + len(self._leaving)

    def left_by(self, consumer: Unsettled) -> None:
        """It takes no more messages, and may have unsettled ones."""
        self._leaving.append(consumer)

    def remove(self, consumer: Consumer) -> None:
        self.left_by(consumer)
        self.consumers.remove(consumer)
        if consumer in self._turns:
            self._turns.remove(consumer)

    def has_credit_again(self, consumer: Consumer) -> None:
        if consumer in self.consumers and consumer not in self._turns:
            self._turns.append(consumer)

    def crash(self, random: Random, now: float) -> None:
        """Lose changes that have perhaps not reached the disk: the last ones, as many as the seed says. The queue must
        have no consumers and no messages in flight."""
        self._expire_log(now)
        kept = random.randint(0, len(self._log))
        while len(self._log) > kept:
            change = self._log.pop()
            if change.kind == "settled":
                self.give_back([change.message], now)
            else:
                self._lose(change.message)
        self._log.clear()
        if not self.options.is_quorum:
            self._ready = [message for message in self._ready if message.content.is_persistent]

    def _lose(self, message: Message) -> None:
        self._ready = [each for each in self._ready if each is not message]
        self._returned = deque(each for each in self._returned if each is not message)
        self.dead = deque(each for each in self.dead if each[0] is not message)

    def _note(self, kind: Literal["stored", "settled"], message: Message, now: float) -> None:
        self._expire_log(now)
        self._log.append(_Change(kind, message, now))

    def _expire_log(self, now: float) -> None:
        while self._log and now - self._log[0].at > FLUSH_S:
            self._log.popleft()


def _number(message: Message) -> int:
    return message.number
