"""Celery as a contestant.

python -m tools.lab.bench.peers.celery_tasks publish COUNT · celery -A tools.lab.bench.peers.celery_tasks worker

Tuned: prefork with two children, late acknowledgement, also of a killed child's task, prefetch 50 per child, a quorum
queue (detected by Celery), no results, no gossip, mingle, heartbeat or events, one prepared statement per event.
"""

from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue

from tools.lab.bench.peers import effect
from tools.lab.bench.peers.postgres import fold

QUEUE = "peer.celery"
app = Celery("peer", broker=effect.RABBITMQ_URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=effect.PREFETCH // 2,
    broker_transport_options={"confirm_publish": True},
    task_default_queue=QUEUE,
    task_queues=[Queue(QUEUE, Exchange(QUEUE), QUEUE, queue_arguments={"x-queue-type": "quorum"})],
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@app.task(name="fold")
def fold_event(given: dict[str, Any]) -> None:
    fold(given)


if __name__ == "__main__":
    with app.producer_pool.acquire() as producer:
        for each in effect.events(effect.asked_to_publish()):
            fold_event.apply_async((each,), producer=producer)
