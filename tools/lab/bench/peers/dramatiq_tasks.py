"""Dramatiq as a contestant.

python -m tools.lab.bench.peers.dramatiq_tasks publish COUNT · dramatiq tools.lab.bench.peers.dramatiq_tasks

Tuned: one process with four threads, no middleware except retries, a quorum queue (for which Dramatiq has no option),
and one prepared statement per event. Publishing waits for confirms, at no cost to the consumer, because a quorum queue
may drop messages that a publisher without confirms sent just before it closed its channel.
"""

from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import Retries

from tools.lab.bench.peers import effect
from tools.lab.bench.peers.postgres import fold

QUEUE = "peer.dramatiq"


class QuorumBroker(RabbitmqBroker):
    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": "quorum"}


broker = QuorumBroker(url=effect.RABBITMQ_URL, middleware=[Retries()], confirm_delivery=True)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=QUEUE)
def fold_event(given: dict[str, Any]) -> None:
    fold(given)


if __name__ == "__main__":
    for each in effect.events(effect.asked_to_publish()):
        fold_event.send(each)
    broker.close()
