"""A broker that hangs up before it has greeted, as a proxy does while the broker behind it restarts."""

import asyncio

import aio_pika
import pytest

from services.worker.broker import queue_stats, rabbitmq
from shared.rabbitmq import Nodes
from tests.support.hung_up import HungUp
from tests.support.waiting import eventually

NOWHERE = "amqp://127.0.0.1:1/"


@pytest.fixture(autouse=True)
def _hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio_pika, "Connection", HungUp)
    HungUp.attempts = 0


async def test_it_is_not_well() -> None:
    """So nobody asks for a restart of the worker on its account."""
    assert not await rabbitmq.answers(Nodes(NOWHERE), [])


async def test_measuring_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gauges try again, instead of ending the process."""
    monkeypatch.setattr(queue_stats, "EVERY_S", 0.01)
    measuring = asyncio.create_task(queue_stats.measure_queues(NOWHERE, []))
    await eventually(lambda: HungUp.attempts > 1 or measuring.done())
    assert not measuring.done()
    measuring.cancel()
