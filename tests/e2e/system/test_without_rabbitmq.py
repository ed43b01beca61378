"""RabbitMQ is down for some time: nothing is lost, and the status reports it. All tests here share one outage."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.support.backends import Backends
from tests.support.stack.operators import health, is_well
from tests.support.stack.running import PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.e2e

ORDERS = 5


@dataclass
class Outage:
    """The observations during the outage. `statuses` and `problems` are those of `dashboard status`."""

    person: Person
    readiness: dict[str, Any] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def outage(stack: Stack, backends: Backends) -> Iterator[Outage]:
    """Place orders without RabbitMQ, and kill the orders service before it can publish. At the end, everything runs
    again."""
    seen = Outage(Person(stack))
    backends.rabbitmq.stop()
    try:
        for _ in range(ORDERS):
            seen.person.order()
        wait_until(lambda: _misses_rabbitmq(stack, seen), PATIENCE_S)
        before = stack.pids("orders")
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: stack.pids("orders") not in ([], before), PATIENCE_S)
        seen.person.complete_dashboard()
        wait_until(lambda: _is_told(stack, seen), PATIENCE_S)
    finally:
        backends.rabbitmq.start()
    yield seen
    seen.person.http.close()


def _misses_rabbitmq(stack: Stack, seen: Outage) -> bool:
    seen.readiness = httpx.get(f"{stack.info['orders']['url']}/readyz", timeout=PATIENCE_S).json()
    return bool(seen.readiness["checks"]["rabbitmq"] != "ok")


def _is_told(stack: Stack, seen: Outage) -> bool:
    _, told = health(stack)
    seen.statuses = [process["status"] for process in told["processes"]]
    seen.problems = told["problems"]
    return seen.statuses == ["degraded", "degraded", "degraded", "unavailable"]


@pytest.mark.full
def test_orders_are_accepted_and_their_mails_arrive_later(stack: Stack, outage: Outage) -> None:
    """Orders are answered 201 during the outage. Afterwards, each has its mail and is counted, once."""
    person = outage.person
    assert outage.readiness["status"] == "degraded"
    wait_until(lambda: len(stack.mails(person.email)) == ORDERS, PATIENCE_S)
    wait_until(lambda: person.panel("analytics")["orders"] == ORDERS, PATIENCE_S)
    wait_until(stack.recovered, PATIENCE_S)


@pytest.mark.full
def test_the_status_says_what_is_missing(stack: Stack, outage: Outage) -> None:
    """The processes that need RabbitMQ report it, and the queues are unknown, not empty. Afterwards, there are no
    problems."""
    assert outage.statuses == ["degraded", "degraded", "degraded", "unavailable"]
    assert "queues unknown: no worker can reach RabbitMQ" in outage.problems
    wait_until(lambda: is_well(stack), PATIENCE_S)
