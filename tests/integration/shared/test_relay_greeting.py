"""The relay before a broker that is not quite there. Needs no server."""

import asyncio

import pytest

from shared.db import Database
from shared.producer import ProducerSettings
from shared.relay import Relay
from tests.support.hung_up import HungUp


class Hasty(Relay):
    CONNECTION = HungUp
    RECONNECT_S = 0.01


async def test_a_broker_that_hangs_up_before_greeting_is_only_away() -> None:
    """The relay tries again, instead of ending its process."""
    settings = ProducerSettings(
        environment="development", database_url="postgresql://nobody@127.0.0.1:1/none", rabbitmq_url="amqp://unused"
    )
    async with Database.open(settings) as db:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await Hasty(db, "amqp://127.0.0.1:1/", "users").run()
    assert HungUp.attempts > 1
