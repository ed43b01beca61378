"""The health of the system, and its problems."""

import pytest

from shared.observability.system_status import (
    LABELS,
    JobStatus,
    Observation,
    OutboxStatus,
    Process,
    ProcessStatus,
    QueueStatus,
    assess,
    numbered,
    observed,
    unreachable,
)
from shared.observability.telemetry import Samples, read_samples

OUTBOX = {("outbox_waiting", ""): 5.0, ("outbox_oldest_age_seconds", ""): 1.26}
WORKER = OUTBOX | {
    ("worker_queue_messages", "worker.email"): 3.0,
    ("worker_queue_consumers", "worker.email"): 1.0,
    ("worker_jobs_retrying", "email"): 2.0,
}


def ready(name: str, samples: Samples | None = None) -> Observation:
    return Observation(ProcessStatus(name=name, status="ready", checks={"postgres": "ok"}), samples or {})


def system(*changed: Observation) -> list[Observation]:
    """Return a healthy system, except for these processes."""
    seen = {
        "gateway": ready("gateway"),
        "users": ready("users", OUTBOX),
        "orders": ready("orders", OUTBOX),
        "worker": ready("worker", WORKER),
    }
    return list((seen | {one.status.name: one for one in changed}).values())


def queue(messages: int) -> QueueStatus:
    return QueueStatus(name="worker.email", messages=messages, consumers=1)


def test_a_healthy_system() -> None:
    """Waiting messages, unpublished events and retrying jobs are normal, and no problems."""
    health = assess(system(), {"users": "closed"})
    assert health.problems == []
    assert health.queues == [queue(3)]
    assert health.outboxes == [
        OutboxStatus(service=name, rows=5, oldest_s=1.3) for name in ("users", "orders", "worker")
    ]
    assert health.jobs == [JobStatus(job="email", attempts=0, retrying=2, dead=0)]


def test_a_gateway_alone_has_no_queues_and_no_outboxes() -> None:
    """What does not exist is not unknown."""
    health = assess([ready("gateway")])
    assert (health.problems, health.queues, health.outboxes) == ([], [], [])
    health = assess([ready("gateway"), unreachable("orders", "no answer")])
    assert health.problems == ["orders is unreachable: no answer", "outbox of orders unknown"]


def test_replicas_measure_the_same() -> None:
    """Two workers report the same broker and the same ledger: the larger value counts, not the sum. Only attempts are
    added up, since each worker counts its own."""
    other = {
        ("worker_queue_messages", "worker.email"): 4.0,
        ("worker_jobs_dead", "email"): 1.0,
        ("worker_jobs", "email"): 30.0,
    }
    workers = ready("worker", WORKER | {("worker_jobs", "email"): 10.0}), ready("worker-2", WORKER | other)
    health = assess(system(*workers))
    assert health.queues == [queue(4)]
    assert health.jobs == [JobStatus(job="email", attempts=40, retrying=2, dead=1)]


@pytest.mark.parametrize(
    ("changed", "problems"),
    [
        (
            Observation(
                ProcessStatus(name="users", status="degraded", checks={"postgres": "ok", "rabbitmq": "away"}), OUTBOX
            ),
            ["users is degraded: rabbitmq: away"],
        ),
        (
            unreachable("orders", "ConnectError"),
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
        (
            ready(
                "worker",
                WORKER
                | {("worker_queue_consumers", "worker.email"): 0.0, ("worker_queue_paused", "worker.email"): 1.0},
            ),
            [],
        ),
        (ready("worker", WORKER | {("worker_jobs_dead", "email"): 7.0}), ["7 dead jobs of email"]),
        (
            ready("users", OUTBOX | {("outbox_oldest_age_seconds", ""): 61.0}),
            ["the oldest event in the outbox of users has waited 61 s"],
        ),
    ],
)
def test_problems(changed: Observation, problems: list[str]) -> None:
    """Each problem is one line."""
    assert assess(system(changed)).problems == problems


def test_open_breakers_are_problems() -> None:
    assert assess(system(), {"users": "closed", "orders": "open", "worker": "half_open"}).problems == [
        "the breaker to orders is open",
        "the breaker to worker is half open",
    ]


def test_replicas_are_numbered() -> None:
    assert numbered("users", ["http://a", "http://b"]) == [Process("users", "http://a"), Process("users-2", "http://b")]


def test_the_responses_of_a_process() -> None:
    """The probe has its status and checks, and the metrics its values."""
    found = observed("users", b'{"status": "ready", "checks": {"postgres": "ok"}}', b"outbox_waiting 4.0\n")
    assert found == ready("users", {("outbox_waiting", ""): 4.0})


@pytest.mark.parametrize(
    ("probe", "metrics"),
    [
        (b"<html>", b""),
        (b"[]", b""),
        (b'{"status": "ready"}', b""),
        (b'{"status": "fine", "checks": {}}', b""),
        (b'{"status": "ready", "checks": {}}', b"\xff"),
    ],
)
def test_an_unexpected_response_is_an_error(probe: bytes, metrics: bytes) -> None:
    """A process that responds with anything else is unreachable, with the reason."""
    found = observed("users", probe, metrics)
    assert found.status.status == "unreachable"
    assert (found.status.error or "").startswith("unexpected response: ")


def test_metrics_are_summed_by_one_label() -> None:
    """Dead jobs are counted by job, regardless of other labels. Other metrics are ignored."""
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
