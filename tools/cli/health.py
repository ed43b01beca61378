"""The health of the system, computed from the probe and metrics of each process. All rules are in this module."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from shared.observability.telemetry import Samples, read_samples
from tools.cli.addresses import Process

NOT_THERE = "connection refused"
OUTBOX_PATIENCE_S = 60.0
"""A working relay publishes every event sooner than this."""


@dataclass(frozen=True)
class Seen:
    """The observed state of one process: its probe's response and its metrics, or `error` if there is neither."""

    process: Process
    status: str = "unreachable"
    checks: Mapping[str, str] | None = None
    samples: Samples | None = None
    error: str | None = None


@dataclass(frozen=True)
class Queue:
    name: str
    messages: int
    consumers: int


@dataclass(frozen=True)
class Outbox:
    """`rows` is None if the service could not be reached."""

    service: str
    rows: int | None = None
    oldest_s: float | None = None


@dataclass(frozen=True)
class Jobs:
    job: str
    dead: int
    retrying: int


@dataclass(frozen=True)
class Health:
    processes: Sequence[Seen]
    queues: Sequence[Queue]
    """Empty if no worker knows them."""
    outboxes: Sequence[Outbox]
    jobs: Sequence[Jobs]
    problems: Sequence[str]
    """The problems, the most fundamental first."""

    @property
    def well(self) -> bool:
        return not self.problems

    @property
    def nothing_runs(self) -> bool:
        """Return whether no process listens at any of the addresses."""
        return all(seen.error == NOT_THERE for seen in self.processes)

    def as_json(self) -> dict[str, Any]:
        processes = [
            {**asdict(seen.process), "status": seen.status, "checks": dict(seen.checks or {}), "error": seen.error}
            for seen in self.processes
        ]
        sections = {name: [asdict(row) for row in getattr(self, name)] for name in ("queues", "outboxes", "jobs")}
        return {"well": self.well, "problems": list(self.problems), "processes": processes} | sections


def assess(seen: Sequence[Seen]) -> Health:
    queues, outboxes, jobs = _queues(_of(seen, "worker")), _outboxes(seen), _jobs(_of(seen, "worker"))
    problems = [
        *(_of_process(one) for one in seen if one.status != "ready"),
        *_of_queues(queues),
        *_of_outboxes(outboxes),
        *(f"{row.dead} dead jobs of {row.job}" for row in jobs if row.dead),
    ]
    return Health(seen, queues, outboxes, jobs, problems)


def _of(seen: Iterable[Seen], service: str) -> list[Samples]:
    return [one.samples for one in seen if one.process.name.partition("-")[0] == service and one.samples is not None]


def _largest(samples: Iterable[Samples], metric: str) -> dict[str, float]:
    """Return values by label. All processes of a service measure the same thing, so their values are not added up."""
    found: dict[str, float] = defaultdict(float)
    for (name, label), value in (item for one in samples for item in one.items()):
        if name == metric:
            found[label] = max(found[label], value)
    return found


def _queues(workers: Sequence[Samples]) -> list[Queue]:
    messages, consumers = _largest(workers, "worker_queue_messages"), _largest(workers, "worker_queue_consumers")
    return [Queue(name, int(messages[name]), int(consumers.get(name, 0))) for name in sorted(messages)]


def _outboxes(seen: Sequence[Seen]) -> list[Outbox]:
    found = []
    for service in ("users", "orders", "worker"):
        samples = _of(seen, service)
        waiting = _largest(samples, "outbox_waiting")
        oldest = _largest(samples, "outbox_oldest_age_seconds")
        found.append(Outbox(service, int(waiting[""]), round(oldest[""], 1)) if waiting else Outbox(service))
    return found


def _jobs(workers: Sequence[Samples]) -> list[Jobs]:
    dead, retrying = _largest(workers, "worker_jobs_dead"), _largest(workers, "worker_jobs_retrying")
    return [
        Jobs(job, int(dead.get(job, 0)), int(retrying.get(job, 0))) for job in sorted(dead.keys() | retrying.keys())
    ]


def _of_process(one: Seen) -> str:
    failed = [f"{name}: {outcome}" for name, outcome in (one.checks or {}).items() if outcome != "ok"]
    return f"{one.process.name} is {one.status}: {one.error or '; '.join(failed)}"


def _of_queues(queues: Sequence[Queue]) -> Iterator[str]:
    if not queues:
        yield "queues unknown: no worker can reach RabbitMQ"
    for queue in queues:
        if not queue.consumers:
            yield f"{queue.name} has no consumer, and {queue.messages} messages"


def _of_outboxes(outboxes: Sequence[Outbox]) -> Iterator[str]:
    for outbox in outboxes:
        if outbox.rows is None:
            yield f"outbox of {outbox.service} unknown"
        elif (outbox.oldest_s or 0) > OUTBOX_PATIENCE_S:
            yield f"the oldest event in the outbox of {outbox.service} has waited {outbox.oldest_s:.0f} s"


TIMEOUT_S = 4.0
"""Longer than a process gives its own checks."""

LABELS = {
    "worker_queue_messages": "queue",
    "worker_queue_consumers": "queue",
    "worker_jobs_dead": "job",
    "worker_jobs_retrying": "job",
    "outbox_waiting": "",
    "outbox_oldest_age_seconds": "",
}
"""The metrics that are read, each with the label by which its values are summed."""


async def look(processes: Iterable[Process]) -> Sequence[Seen]:
    """Read all concurrently; one that does not respond delays the others by at most the timeout."""
    # Internal addresses: proxies of the environment do not apply.
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
        return await asyncio.gather(*(_look_at(http, process) for process in processes))


async def _look_at(http: httpx.AsyncClient, process: Process) -> Seen:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            probe, metrics = await asyncio.gather(http.get(f"{process.url}/readyz"), http.get(f"{process.url}/metrics"))
        told = probe.json()
        samples = read_samples(metrics.raise_for_status().text, LABELS)
        return Seen(process, str(told["status"]), dict(told["checks"]), samples)
    except TimeoutError:
        return Seen(process, error=f"no answer within {TIMEOUT_S:g} s")
    except httpx.ConnectError:
        return Seen(process, error=NOT_THERE)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Seen(process, error=f"{type(error).__name__}: {error}".rstrip(": "))
    except (ValueError, KeyError, TypeError) as error:
        return Seen(process, error=f"the response is not that of one of our processes ({error!r})")
