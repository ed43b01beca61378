"""The consumers that the worker is compared with: how each gets its events, and the process that is measured."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tests.support.waiting import wait_until
from tools.devstack.system.processes import Child
from tools.lab.bench import cpu, queueing
from tools.lab.bench.bed import START_S, Bed
from tools.lab.bench.queueing import Place

OURS, PLAIN, ONE = "ours", "FastStream, one transaction per event", "FastStream, one statement per event"
BACKGROUND = "FastAPI BackgroundTasks"
PEERS = "tools.lab.bench.peers"
NOT_STORED = "tasks that were accepted are in memory only: lost with their process, and not retried after an error"
NOT_RETRIED = "its jobs stay in Postgres as `doing`; they run again only if the application retries stalled jobs"
WITHIN_S = 240


@dataclass(frozen=True)
class Consumer:
    """`fill` puts events into its queue before it starts. Without a queue, `send` sends them when it has started."""

    name: str
    package: str
    queue: str
    start: Callable[[Bed, Place], Child]
    fill: Callable[[Place, int], None] | None = None
    send: Callable[[Bed, Place, int], Child] | None = None
    caveat: str = ""

    def missing(self) -> bool:
        return find_spec(self.package) is None


@dataclass
class Running:
    """A consumer's process, and the one that sends events to it, if it has no queue."""

    consumer: Child
    sender: Child | None

    @classmethod
    def begin(cls, bed: Bed, place: Place, one: Consumer, count: int) -> "Running":
        if one.fill:
            one.fill(place, count)
        return cls(one.start(bed, place), one.send(bed, place, count) if one.send else None)

    def failed(self) -> Child | None:
        """Return the process that ended and should not have."""
        if not self.consumer.alive():
            return self.consumer
        return self.sender if self.sender and self.sender.popen.poll() else None

    def end(self, bed: Bed) -> None:
        bed.end(self.consumer, *([self.sender] if self.sender else []))


def environment(place: Place) -> dict[str, str]:
    return {"BENCH_DATABASE_URL": place.database_url, "BENCH_RABBITMQ_URL": place.rabbitmq_url}


def _publish(module: str, place: Place, count: int) -> None:
    command = cpu.pinned(cpu.OTHER_CORE, sys.executable, "-m", f"{PEERS}.{module}", "publish", str(count))
    subprocess.run(command, env=os.environ | environment(place), check=True, timeout=WITHIN_S)


def _peer(name: str, package: str, module: str, *command: str, queue: str = "RabbitMQ", caveat: str = "") -> Consumer:
    def start(bed: Bed, place: Place) -> Child:
        return bed.python(package, "-m", *command, env=environment(place))

    return Consumer(name, package, queue, start, fill=partial(_publish, module), caveat=caveat)


def _background_tasks() -> Consumer:
    module = f"{PEERS}.background_tasks"

    def with_socket(bed: Bed, place: Place) -> dict[str, str]:
        return {**environment(place), "BENCH_SOCKET": _socket(bed)}

    def start(bed: Bed, place: Place) -> Child:
        Path(_socket(bed)).unlink(missing_ok=True)  # that of a killed process
        command = ("uvicorn", f"{module}:app", "--uds", _socket(bed), "--no-access-log", "--log-level", "error")
        child = bed.python("uvicorn", "-m", *command, env=with_socket(bed, place))
        wait_until(lambda: Path(_socket(bed)).exists() or not child.alive(), within=START_S)
        return child

    def send(bed: Bed, place: Place, count: int) -> Child:
        command = (module, "publish", str(count))
        return bed.python("sender", "-m", *command, core=cpu.OTHER_CORE, env=with_socket(bed, place))

    return Consumer(BACKGROUND, "aiohttp", "memory; lost by a kill", start, send=send, caveat=NOT_STORED)


def _socket(bed: Bed) -> str:
    return str(bed.folder / "background.sock")


_CELERY = ("celery", "-A", f"{PEERS}.celery_tasks", "worker", "-c", "2", "-P", "prefork", "-l", "ERROR")
CONSUMERS = (
    Consumer(
        OURS,
        "faststream",
        "RabbitMQ",
        lambda bed, place: queueing.serve(bed, "worker", place),
        fill=lambda place, count: queueing.fill_analytics(place.rabbitmq_url, count),
    ),
    _peer(PLAIN, "faststream", "faststream_tasks", f"{PEERS}.faststream_tasks", "plain"),
    _peer(ONE, "faststream", "faststream_tasks", f"{PEERS}.faststream_tasks", "consume"),
    _peer("Celery", "celery", "celery_tasks", *_CELERY, "--without-gossip", "--without-mingle", "--without-heartbeat"),
    _peer("Dramatiq", "dramatiq", "dramatiq_tasks", "dramatiq", "-p", "1", "-t", "4", f"{PEERS}.dramatiq_tasks"),
    _peer(
        *("Taskiq", "taskiq", "taskiq_tasks", "taskiq", "worker", "--workers", "1", "--max-async-tasks", "100"),
        *("--ack-type", "when_executed", "--log-level", "ERROR", f"{PEERS}.taskiq_tasks:broker"),
    ),
    _peer(
        *("Procrastinate", "procrastinate", "procrastinate_tasks", f"{PEERS}.procrastinate_tasks", "consume"),
        queue="Postgres",
        caveat=NOT_RETRIED,
    ),
    _background_tasks(),
)
