"""The status of the whole system, from the probes and metrics of its processes.

The gateway and the `dashboard` command read the processes, each over its own connections. What the responses mean, and
what counts as a problem, is decided here.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, Field

from shared.observability.telemetry import Samples, read_samples

PROBE_PATH, METRICS_PATH = "/readyz", "/metrics"
OUTBOX_PATIENCE_S = 60.0
"""A working relay publishes every event sooner than this."""
WITH_OUTBOX = ("users", "orders", "worker")
MAX_ERROR_LENGTH = 200

LABELS = {
    "worker_queue_messages": "queue",
    "worker_queue_consumers": "queue",
    "worker_queue_paused": "queue",
    "worker_jobs_dead": "job",
    "worker_jobs_retrying": "job",
    "worker_jobs": "job",
    "outbox_waiting": "",
    "outbox_oldest_age_seconds": "",
}
"""The metrics that are read, each with the label by which its values are summed."""

BreakerState = Literal["closed", "half_open", "open"]


@dataclass(frozen=True)
class Process:
    """`url` is the address of its probes and metrics."""

    name: str
    url: str


class ProcessStatus(BaseModel):
    """`checks` has the dependencies of the process, each `ok` or its error; `error` says why the process could not
    be reached."""

    name: str = Field(description="the service, numbered if there are several addresses", examples=["orders"])
    status: Literal["ready", "degraded", "unavailable", "unreachable"]
    checks: dict[str, str] = Field({}, examples=[{"postgres": "ok"}])
    error: str | None = None


class QueueStatus(BaseModel):
    name: str = Field(examples=["worker.email"])
    messages: int = Field(examples=[3])
    consumers: int = Field(examples=[1])
    paused: bool = Field(False, description="its job is paused: it keeps its messages, and needs no consumer")


class OutboxStatus(BaseModel):
    """Null if the service could not be reached."""

    service: str = Field(examples=["orders"])
    rows: int | None
    oldest_s: float | None

    @property
    def is_late(self) -> bool:
        return (self.oldest_s or 0) > OUTBOX_PATIENCE_S


class JobStatus(BaseModel):
    """`attempts` since the worker's start: its rate is the throughput."""

    job: str = Field(examples=["email"])
    attempts: int = Field(examples=[1250])
    retrying: int
    dead: int


class Health(BaseModel):
    """The reports of the processes, and the resulting problems."""

    processes: list[ProcessStatus]
    queues: list[QueueStatus] = Field(description="empty if no worker knows them")
    outboxes: list[OutboxStatus]
    jobs: list[JobStatus]
    problems: list[str] = Field(
        description="one line each, the most fundamental first; empty if there are none",
        examples=[["2 dead jobs"]],
    )


@dataclass(frozen=True)
class Observation:
    """A process's report and its metrics. A process that does not answer both is unreachable, and has no samples."""

    status: ProcessStatus
    samples: Samples = field(default_factory=dict)


def numbered(service: str, urls: Iterable[str]) -> list[Process]:
    """Return the processes of a service; the second and later ones have a number."""
    return [Process(service if number == 1 else f"{service}-{number}", url) for number, url in enumerate(urls, 1)]


def observed(name: str, probe: bytes, metrics: bytes) -> Observation:
    """Read the two responses of a process."""
    try:
        report = json.loads(probe)
        status = ProcessStatus(name=name, status=report["status"], checks=report["checks"])
        return Observation(status, read_samples(metrics.decode(), LABELS))
    except (ValueError, KeyError, TypeError) as error:
        return unreachable(name, f"unexpected response: {error!r}")


def unreachable(name: str, error: str) -> Observation:
    return Observation(ProcessStatus(name=name, status="unreachable", error=error[:MAX_ERROR_LENGTH]))


def assess(seen: Sequence[Observation], breakers: Mapping[str, BreakerState] | None = None) -> Health:
    """Return the health of the system; `breakers` has the circuit breaker of each service."""
    workers = _samples(seen, "worker")
    queues, outboxes, jobs = _queues(workers), _outboxes(seen), _jobs(workers)
    problems = [
        *(_problem_of(one.status) for one in seen if one.status.status != "ready"),
        *_problems_of_breakers(breakers or {}),
        *(_problems_of_queues(queues) if workers else ()),
        *_problems_of_outboxes(outboxes),
        *(f"{row.dead} dead jobs of {row.job}" for row in jobs if row.dead),
    ]
    return Health(
        processes=[one.status for one in seen], queues=queues, outboxes=outboxes, jobs=jobs, problems=problems
    )


def service_of(process: str) -> str:
    """Return the service of a process, by its name."""
    return process.partition("-")[0]


def _samples(seen: Iterable[Observation], service: str) -> list[Samples]:
    return [one.samples for one in seen if service_of(one.status.name) == service]


def _queues(workers: Sequence[Samples]) -> list[QueueStatus]:
    messages, consumers = _largest(workers, "worker_queue_messages"), _largest(workers, "worker_queue_consumers")
    paused = _largest(workers, "worker_queue_paused")
    return [
        QueueStatus(
            name=name,
            messages=int(messages[name]),
            consumers=int(consumers.get(name, 0)),
            paused=bool(paused.get(name, 0)),
        )
        for name in sorted(messages)
    ]


def _outboxes(seen: Sequence[Observation]) -> list[OutboxStatus]:
    """Return the outboxes of the services that this system has."""
    found = []
    for service in WITH_OUTBOX:
        samples = _samples(seen, service)
        if not samples:
            continue
        rows, oldest = _largest(samples, "outbox_waiting"), _largest(samples, "outbox_oldest_age_seconds")
        if rows:
            found.append(OutboxStatus(service=service, rows=int(rows[""]), oldest_s=round(oldest.get("", 0), 1)))
        else:
            found.append(OutboxStatus(service=service, rows=None, oldest_s=None))
    return found


def _jobs(workers: Sequence[Samples]) -> list[JobStatus]:
    dead, retrying = _largest(workers, "worker_jobs_dead"), _largest(workers, "worker_jobs_retrying")
    attempts: dict[str, float] = defaultdict(float)
    for (name, job), value in (item for samples in workers for item in samples.items()):
        if name == "worker_jobs":
            attempts[job] += value
    return [
        JobStatus(
            job=job,
            attempts=int(attempts.get(job, 0)),
            retrying=int(retrying.get(job, 0)),
            dead=int(dead.get(job, 0)),
        )
        for job in sorted(dead.keys() | retrying.keys() | attempts.keys())
    ]


def _largest(several: Iterable[Samples], metric: str) -> dict[str, float]:
    """Return values by label. All processes of a service measure the same thing, so their values are not added up."""
    found: dict[str, float] = {}
    for (name, label), value in (item for samples in several for item in samples.items()):
        if name == metric:
            found[label] = max(found.get(label, 0), value)
    return found


def _problem_of(process: ProcessStatus) -> str:
    failed = [f"{name}: {outcome}" for name, outcome in process.checks.items() if outcome != "ok"]
    return f"{process.name} is {process.status}: {process.error or '; '.join(failed)}"


def _problems_of_breakers(breakers: Mapping[str, BreakerState]) -> Iterator[str]:
    for service, state in breakers.items():
        if state != "closed":
            yield f"the breaker to {service} is {state.replace('_', ' ')}"


def _problems_of_queues(queues: Sequence[QueueStatus]) -> Iterator[str]:
    if not queues:
        yield "queues unknown: no worker can reach RabbitMQ"
    for queue in queues:
        if not (queue.consumers or queue.paused):
            yield f"{queue.name} has no consumer, and {queue.messages} messages"


def _problems_of_outboxes(outboxes: Sequence[OutboxStatus]) -> Iterator[str]:
    for outbox in outboxes:
        if outbox.rows is None:
            yield f"outbox of {outbox.service} unknown"
        elif outbox.is_late:
            yield f"the oldest event in the outbox of {outbox.service} has waited {outbox.oldest_s:.0f} s"
