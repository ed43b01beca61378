"""The relay before a broker that is not quite there. Needs no server."""

from shared.db.engine import Database
from shared.outbox.relay import ProducerSettings, Relay
from shared.server.background import Background, RestartPolicy
from tests.support.hung_up import HungUp
from tests.support.waiting import eventually


class Hasty(Relay):
    CONNECTION = HungUp
    RECONNECT_S = 0.01


async def test_a_broker_that_hangs_up_before_greeting_is_only_away() -> None:
    """The relay tries again, instead of ending its process."""
    settings = ProducerSettings(
        environment="development", database_url="postgresql://nobody@127.0.0.1:1/none", rabbitmq_url="amqp://unused"
    )
    async with Database.open(settings) as db:
        before = HungUp.attempts
        async with Background(policy=RestartPolicy(settled_s=3600)) as background:
            running = background.start("relay", Hasty(db, "amqp://127.0.0.1:1/", "users").run)
            await eventually(lambda: HungUp.attempts > before + 1 or running.done())
            assert not running.done()
            await background.check()
