"""Runs simulations: each in a process of its own, forked from one that has everything imported."""

import gc
import os
import pickle
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tools.lab.simulation.machine import virtual

virtual.install()

from shared.db.migrations import migrate  # noqa: E402
from tools.devstack.system.processes import Processes  # noqa: E402
from tools.lab.simulation import checks, jobs, plan, programs  # noqa: E402
from tools.lab.simulation.machine import postgres  # noqa: E402
from tools.lab.simulation.machine.loop import BEGINNING_S  # noqa: E402
from tools.lab.simulation.mutations import MUTATIONS  # noqa: E402
from tools.lab.simulation.plan import Step  # noqa: E402
from tools.lab.simulation.programs import Databases  # noqa: E402
from tools.lab.simulation.simulation import Simulation  # noqa: E402
from tools.lab.simulation.world import EVENTS_LOG  # noqa: E402

TIMEOUT_S = 300.0
"""How long one simulation may take in real time."""
TEMPLATES = ("orders", "worker")


@dataclass
class Result:
    """What one simulation has found. `failure` is an error of the simulator itself."""

    seed: int
    violations: list[str] = field(default_factory=list)
    promises: set[str] = field(default_factory=set)
    digest: str = ""
    history: list[str] = field(default_factory=list)
    virtual_s: float = 0.0
    real_s: float = 0.0
    steps: int = 0
    statements: int = 0
    faults: int = 0
    reads: int = 0
    events: int = 0
    points: set[tuple[str, int]] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    failure: str = ""

    @property
    def is_good(self) -> bool:
        return not self.violations and not self.failure


@dataclass(frozen=True)
class Job:
    """A simulation to run. Without steps, the seed makes them."""

    seed: int
    steps: Sequence[Step] | None = None
    mutation: str = ""
    keeps_history: bool = False


class Laboratory:
    """A Postgres with databases for `slots` simulations at a time."""

    def __init__(self, server: postgres.SimulationPostgres, slots: int) -> None:
        self._server = server
        self.slots = slots
        virtual.order_sets()
        programs.declared_jobs()
        programs.panels_catalog()
        for service in TEMPLATES:
            self._make_template(service)
        self._databases = [self._make(slot) for slot in range(slots)]

    @classmethod
    @contextmanager
    def open(cls, slots: int = 1) -> Iterator["Laboratory"]:
        """Start the server in a temporary folder, until the block is left."""
        folder = Path(tempfile.mkdtemp(prefix="dashboard-simulation-"))
        processes = Processes()
        processes.remove_at_end(folder)
        server = postgres.SimulationPostgres(processes, folder / "postgres", folder / "postgres.log", durable=False)
        try:
            server.start()
            yield cls(server, slots)
        finally:
            processes.close(grace=3)

    def _make_template(self, service: str) -> None:
        postgres.new_database(self._server.socket, f"{service}_template")
        migrate(service, self._server.database_url(f"{service}_template"))
        own = EVENTS_LOG if service == "orders" else jobs.TABLES
        postgres.with_session(self._server.socket, f"{service}_template", own)

    def _make(self, slot: int) -> Databases:
        for service in TEMPLATES:
            postgres.new_database(self._server.socket, f"{service}_{slot}", f"{service}_template")
        return Databases(f"orders_{slot}", f"worker_{slot}", self._server.database_url)

    def run(self, job: Job) -> Result:
        """Run one simulation."""
        [result] = self.run_all([job])
        return result

    def run_all(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Run simulations, as many at a time as there are slots, and yield results as they come."""
        waiting = iter(jobs)
        free = list(range(self.slots))
        running: dict[int, tuple[int, int, Job, float, bytearray]] = {}
        is_over = False
        try:
            while True:
                while free and not is_over:
                    job = next(waiting, None)
                    if job is None:
                        is_over = True
                        break
                    slot = free.pop()
                    pid, pipe = self._fork(job, slot)
                    running[pipe] = pid, slot, job, virtual.real_monotonic(), bytearray()
                if not running:
                    return
                ready, _, _ = select.select(list(running), [], [], 1.0)
                for pipe in ready:
                    data = os.read(pipe, 1 << 20)
                    if data:
                        running[pipe][4].extend(data)
                        continue
                    pid, slot, job, began, received = running.pop(pipe)
                    os.close(pipe)
                    os.waitpid(pid, 0)
                    free.append(slot)
                    yield _result(job, bytes(received), virtual.real_monotonic() - began)
                for pid, _, _, began, _ in running.values():
                    if virtual.real_monotonic() - began > TIMEOUT_S:
                        os.kill(pid, signal.SIGKILL)
        finally:
            for pipe, (pid, *_) in running.items():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                os.close(pipe)

    def _fork(self, job: Job, slot: int) -> tuple[int, int]:
        sys.stdout.flush()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            return pid, reading
        status = 1
        try:
            os.close(reading)
            gc.disable()  # a collection would run the finalizers of killed processes
            try:
                result = self._simulate(job, self._databases[slot])
            except BaseException:
                result = Result(job.seed, failure=traceback.format_exc())
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(result, pipe)
            status = 0
        finally:
            os._exit(status)

    def _simulate(self, job: Job, databases: Databases) -> Result:
        for name in (databases.orders, databases.worker):
            postgres.empty(self._server.socket, name)
        if job.mutation:
            MUTATIONS[job.mutation].apply()
        steps = plan.make(job.seed) if job.steps is None else job.steps
        simulation = Simulation(job.seed, steps, databases, self._server.socket)
        outcome, world = simulation.run(), simulation.world
        violations = checks.check(outcome)
        return Result(
            seed=job.seed,
            violations=[str(each) for each in violations],
            promises={each.promise for each in violations},
            digest=world.history.digest(),
            history=[str(entry) for entry in world.history.entries] if job.keeps_history else [],
            virtual_s=world.loop.now - BEGINNING_S,
            steps=world.loop.steps,
            statements=world.postgres.count,
            faults=world.seen.faults,
            reads=len(outcome.reads),
            events=len(outcome.events),
            points=world.points,
            errors=list(outcome.errors),
        )


def _result(job: Job, received: bytes, real_s: float) -> Result:
    result = Result(job.seed, failure="the process of the simulation has ended without a result")
    with suppress(EOFError, pickle.UnpicklingError):
        result = pickle.loads(received)  # noqa: S301  from our own child
    result.real_s = real_s
    return result
