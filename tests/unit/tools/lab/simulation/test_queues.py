"""Queues of the model of RabbitMQ: order, redelivery, and what a crash leaves."""

import re
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from tools.lab.simulation.amqp.queues import FLUSH_S, Content, Message, Options, Queue, Reason
from tools.lab.simulation.amqp.topology import matches

QUORUM = {"x-queue-type": "quorum"}
words = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4).map(".".join)
patterns = st.lists(st.sampled_from(["a", "b", "*", "#"]), max_size=4).map(".".join)


@dataclass
class Deaths:
    """What was dead-lettered; `taken` says whether another queue took it."""

    taken: bool = True
    seen: list[tuple[bytes, Reason]] = field(default_factory=list)

    def __call__(self, _: Queue, message: Message, reason: Reason) -> bool:
        self.seen.append((message.content.body, reason))
        return self.taken


def queue(deaths: Deaths | None = None, **arguments: Any) -> Queue:
    return Queue("queue", Options(durable=True, arguments=QUORUM | arguments), None, deaths or Deaths())


def content(number: int, *, persistent: bool = True) -> Content:
    return Content("", "queue", Basic.Properties(delivery_mode=2 if persistent else 1), b"%d" % number)


def taken(queue: Queue) -> list[bytes]:
    """Take everything."""
    found = []
    while message := queue.take():
        found.append(message.content.body)
    return found


@given(patterns, words)
def test_topics_match_as_their_pattern_says(pattern: str, key: str) -> None:
    """`*` is one word and `#` any number, compared with a regular expression over words that end with a point."""
    parts = {"*": r"[abc]\.", "#": r"([abc]\.)*"}
    expression = "".join(parts.get(word, rf"{word}\.") for word in pattern.split(".") if word)
    assert matches("topic", pattern, key) == bool(re.fullmatch(expression, key + "." if key else ""))


def test_what_came_back_is_delivered_before_the_rest_in_the_order_of_its_return() -> None:
    """And counts how often it came back."""
    one = queue()
    messages = [one.store(content(number), 0) for number in range(4)]
    first, second = one.take(), one.take()
    assert [first, second] == messages[:2]
    assert first is not None
    assert second is not None
    one.give_back([second], 0)
    one.give_back([first], 0)
    assert taken(one) == [b"1", b"0", b"2", b"3"]
    assert [message.returns for message in messages] == [1, 1, 0, 0]


def test_a_classic_queue_restores_the_order() -> None:
    one = Queue("queue", Options(durable=True), None, Deaths())
    for number in range(3):
        one.store(content(number), 0)
    first, second = one.take(), one.take()
    assert first is not None
    assert second is not None
    one.give_back([second, first], 0)
    assert taken(one) == [b"0", b"1", b"2"]


def test_a_message_dies_when_it_has_come_back_too_often() -> None:
    """With a limit of 2 it is delivered three times."""
    deaths = Deaths()
    one = queue(deaths, **{"x-delivery-limit": 2})
    one.store(content(1), 0)
    deliveries = 0
    while message := one.take():
        deliveries += 1
        one.give_back([message], 0)
    assert deliveries == 3
    assert deaths.seen == [(b"1", "delivery_limit")]


def test_a_dead_letter_waits_until_a_queue_takes_it() -> None:
    """With the strategy at-least-once; otherwise it is lost."""
    deaths = Deaths(taken=False)
    strategies = [queue(deaths, **{"x-dead-letter-strategy": "at-least-once"}), queue(deaths)]
    for one in strategies:
        one.store(content(1), 0)
        message = one.take()
        assert message
        one.bury(message, "rejected", 0)
    assert [len(one.dead) for one in strategies] == [1, 0]
    deaths.taken = True
    strategies[0].bury_again(0)
    assert not strategies[0].dead


@given(st.integers(0, 2**32), st.lists(st.sampled_from(["store", "confirm", "settle", "give back"]), max_size=40))
def test_a_crash_loses_only_what_nobody_was_told_of(seed: int, steps: list[str]) -> None:
    """A confirmed message that was not settled survives; one that was settled may come again; nothing appears twice."""
    random, one = Random(seed), queue(Deaths(), **{"x-delivery-limit": 1000})
    stored: list[Message] = []
    in_flight: list[Message] = []
    confirmed: set[bytes] = set()
    settled: set[bytes] = set()
    for step in steps:
        if step == "store":
            stored.append(one.store(content(len(stored)), 0))
        elif step == "confirm" and stored:
            known = random.choice(stored)
            one.confirm(known)
            confirmed.add(known.content.body)
        elif message := one.take():
            if step == "settle":
                one.settle(message, 0)
                settled.add(message.content.body)
            else:
                in_flight.append(message)
    one.give_back(in_flight, 0)
    one.crash(random, 0)
    left = taken(one)
    assert len(left) == len(set(left))
    assert confirmed - settled <= set(left)
    assert set(left) <= {message.content.body for message in stored}


def test_time_saves_what_was_not_confirmed() -> None:
    """After `FLUSH_S` a crash loses nothing, whatever the seed; before, some seed loses it."""

    def left(seed: int, later: float) -> list[bytes]:
        one = queue()
        one.store(content(1), 0)
        one.crash(Random(seed), later)
        return taken(one)

    assert all(left(seed, FLUSH_S + 1) == [b"1"] for seed in range(20))
    assert {bool(left(seed, 0)) for seed in range(20)} == {True, False}


def test_a_settlement_may_be_lost() -> None:
    """Then the message comes again, and counts as returned."""

    def left(seed: int) -> list[int]:
        one = queue()
        one.confirm(one.store(content(1), 0))
        message = one.take()
        assert message
        one.settle(message, 0)
        one.crash(Random(seed), 0)
        again = one.take()
        return [again.returns] if again else []

    assert {tuple(left(seed)) for seed in range(20)} == {(), (1,)}


def test_a_classic_queue_keeps_persistent_messages_only() -> None:
    one = Queue("queue", Options(durable=True), None, Deaths())
    for number, persistent in enumerate([True, False, True]):
        one.store(content(number, persistent=persistent), 0)
    one.crash(Random(1), FLUSH_S + 1)
    assert taken(one) == [b"0", b"2"]
