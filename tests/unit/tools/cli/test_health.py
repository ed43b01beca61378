"""What is well and what is not."""

import pytest

from shared.observability.telemetry import Samples, read_samples
from tools.cli.addresses import Process
from tools.cli.health import LABELS, Jobs, Outbox, Queue, Seen, assess

OUTBOX = {("outbox_waiting", ""): 5.0, ("outbox_oldest_age_seconds", ""): 1.26}
WORKER = OUTBOX | {
    ("worker_queue_messages", "worker.email"): 3.0,
    ("worker_queue_consumers", "worker.email"): 1.0,
    ("worker_jobs_retrying", "email"): 2.0,
}


def ready(name: str, samples: Samples | None = None) -> Seen:
    return Seen(Process(name, f"http://{name}"), "ready", {"postgres": "ok"}, samples or {})


def system(*changed: Seen) -> list[Seen]:
    """All well but for these."""
    seen = {
        "gateway": ready("gateway"),
        "users": ready("users", OUTBOX),
        "orders": ready("orders", OUTBOX),
        "worker": ready("worker", WORKER),
    }
    return list((seen | {one.process.name: one for one in changed}).values())


def test_a_system_that_is_well() -> None:
    """Waiting messages, events on their way and jobs that are tried again are ordinary life."""
    health = assess(system())
    assert health.well
    assert health.queues == [Queue("worker.email", 3, 1)]
    assert health.outboxes == [Outbox(name, 5, 1.3) for name in ("users", "orders", "worker")]
    assert health.jobs == [Jobs("email", 0, 2)]


def test_replicas_measure_the_same() -> None:
    """Two workers tell of one broker and one ledger: the larger value counts, not the sum."""
    other = WORKER | {("worker_queue_messages", "worker.email"): 4.0, ("worker_jobs_dead", "email"): 1.0}
    health = assess(system(ready("worker-2", other)))
    assert health.queues == [Queue("worker.email", 4, 1)]
    assert health.jobs == [Jobs("email", 1, 2)]


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        (
            Seen(Process("users", "u"), "degraded", {"postgres": "ok", "rabbitmq": "away"}, OUTBOX),
            ["users is degraded: rabbitmq: away"],
        ),
        (
            Seen(Process("orders", "u"), error="ConnectError"),
            ["orders is unreachable: ConnectError", "outbox of orders unknown"],
        ),
        (
            ready("worker", {}),
            ["queues unknown: no worker can reach RabbitMQ", "outbox of worker unknown"],
        ),
        (
            ready("worker", WORKER | {("worker_queue_consumers", "worker.email"): 0.0}),
            ["worker.email has no consumer, and 3 messages"],
        ),
        (ready("worker", WORKER | {("worker_jobs_dead", "email"): 7.0}), ["7 dead jobs of email"]),
        (
            ready("users", OUTBOX | {("outbox_oldest_age_seconds", ""): 61.0}),
            ["the oldest event in the outbox of users has waited 61 s"],
        ),
    ],
)
def test_what_is_not_well(changed: Seen, problems: list[str]) -> None:
    """Each thing that needs somebody is one line, and the whole is not well."""
    health = assess(system(changed))
    assert list(health.problems) == problems
    assert health.as_json()["well"] is False


def test_metrics_are_summed_by_the_label_that_matters() -> None:
    """Dead jobs are counted by job, whatever else they are labelled with; what is not asked for is left out."""
    text = """\
# TYPE worker_jobs_dead gauge
worker_jobs_dead{job="email",error_group="A"} 2.0
worker_jobs_dead{job="email",error_group="B"} 3.0
# TYPE outbox_waiting gauge
outbox_waiting 4.0
# TYPE other gauge
other 1.0
"""
    assert read_samples(text, LABELS) == {("worker_jobs_dead", "email"): 5.0, ("outbox_waiting", ""): 4.0}
