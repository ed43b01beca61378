"""The world of one simulation: its processes, servers, network and clock, and what is remembered of it."""

import asyncio
import gc
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from types import CodeType, FrameType
from typing import Any
from uuid import UUID

import structlog

from services.gateway.live.feed import Change
from tools.lab.simulation.checks import RECENT, Read
from tools.lab.simulation.history import History, conceal
from tools.lab.simulation.machine import virtual
from tools.lab.simulation.machine.loop import BEGINNING_S, Killed, Process, SimulationLoop, wall_time
from tools.lab.simulation.machine.network import Network
from tools.lab.simulation.machine.postgres import PostgresTransport, PostgresWorld, Session, Statements
from tools.lab.simulation.plan import GATEWAYS, USERS, WORKERS
from tools.lab.simulation.programs import Databases, Programs, queues_of
from tools.lab.simulation.resp.scripts import asked_ms_of

EVENTS_LOG = """
    CREATE TABLE simulation.events (
        id uuid, type text, user_id uuid, order_id text, task_key text, number bigserial,
        at double precision DEFAULT extract(epoch FROM simulation.clock_timestamp())
    );
    CREATE FUNCTION simulation.log_event() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        INSERT INTO simulation.events (id, type, user_id, order_id, task_key)
        VALUES (NEW.id, NEW.type, NEW.user_id, NEW.payload->>'order_id', NEW.key);
        RETURN NEW;
    END$$;
    CREATE TRIGGER simulation_log AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION simulation.log_event();
"""
"""What a service has promised: written in the same transaction as the outbox row, and never deleted."""
POLL_S = 0.5
OPEN_JOBS = """
    SELECT job, state, count(*), max(last_error) FROM jobs WHERE state IN ('retrying', 'scheduled', 'running')
    GROUP BY 1, 2 ORDER BY 1, 2
"""

STEPS = ("async_generator_asend", "async_generator_athrow", "coroutine_wrapper")
"""What is awaited for an asynchronous generator, or a coroutine; only the garbage collector knows for which one."""

Point = tuple[str, int]
"""A file and a line."""


class RandomStatements(Statements):
    """Statements that fail with these probabilities while a fault lasts."""

    def __init__(self, random: Random, note: Callable[..., None]) -> None:
        self.shares: dict[str, float] = {}
        self._random = random
        self._note = note

    def fate(self, connection: PostgresTransport, sql: str) -> str:
        for fate, share in self.shares.items():
            if self._random.random() < share:
                self._note(connection.process, f"statement {fate}", sql=sql[:60])
                return fate
        return ""


@dataclass
class Seen:
    """What clients and the simulator have seen. `known` is what each gateway must show of each user from now on."""

    reads: list[Read] = field(default_factory=list)
    known: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    excused: set[tuple[str, str]] = field(default_factory=set)
    expected_ticks: list[str] = field(default_factory=list)
    older_copies: list[str] = field(default_factory=list)
    """Last known good panels that have replaced later ones."""
    faults: int = 0


class World:
    """Opens connections to the databases, and starts nothing. One for each operating system process."""

    def __init__(self, seed: int, databases: Databases, socket: str, limit_s: float) -> None:
        self.seed = seed
        self.loop = SimulationLoop(seed, until_s=BEGINNING_S + limit_s)
        virtual.enter(self.loop, seed)
        self.history = History(BEGINNING_S)
        self.seen = Seen()
        self.network = Network(self.loop)
        self.postgres = PostgresWorld(self.loop, self.network, socket)
        self.statements = RandomStatements(Random(f"statements {seed}"), self.note)
        self.postgres.statements = self.statements
        self.orders_db, self.worker_db = Session.open(socket, databases.orders), Session.open(socket, databases.worker)
        self.programs = Programs(self.loop, databases, Random(f"servers {seed}"), self._told, self._came)
        self.programs.redis.watch(self._replaced)
        self.client = self.loop.new_process("client")
        self.users = [UUID(int=Random(f"user {number}").getrandbits(128), version=4) for number in range(USERS)]
        self.tasks: set[asyncio.Task[Any]] = set()
        """What clients and faults are doing."""
        self.frozen_until: dict[str, float] = {}
        """By process, until when it was stopped."""
        self.loop.on_kill.append(self._killed)
        self.loop.on_task = self._went_on
        self._waited: set[tuple[CodeType, int]] = set()
        """Where: a function, and the offset of an instruction."""
        logging.disable()  # of libraries
        structlog.configure(
            processors=[self._note_line],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.ReturnLoggerFactory(),
            cache_logger_on_first_use=False,
        )

    def process(self, name: str) -> Process:
        """Return the newest process of that name, which may have been killed."""
        return self.programs.processes[name]

    def note(self, process: Process, kind: str, /, **facts: Any) -> None:
        """Add something to the history."""
        self.history.add(self.loop.now, process.name, kind, **facts)

    def start(self, process: Process, work: Any) -> None:
        """Do something of a client, or of the world itself, which ends before the simulation does."""
        task = self.loop.spawn(process, work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def start_in(self, name: str, work: Callable[[], Any]) -> None:
        """Do something in a process, if it runs and has started; it ends with the process."""
        if name in self.programs.apps or name in self.programs.gateways:
            with suppress(Killed):
                self.loop.spawn(self.process(name), work())

    async def until(self, reached: Callable[[], object], seconds: float, poll_s: float = POLL_S) -> bool:
        """Wait for a condition for at most so long. Returns whether it was reached."""
        ends = self.loop.now + seconds
        while not reached():
            if self.loop.now > ends:
                return False
            await asyncio.sleep(poll_s)
        return True

    def is_ready(self) -> bool:
        """Return whether all processes have started, every queue exists, and gateways receive changes."""
        apps, gateways = self.programs.apps, self.programs.gateways
        queues = self.programs.rabbit.queues
        return (
            all(name in apps for name in ("orders", *WORKERS))
            and all(f"worker.{job}" in queues for job in queues_of())
            and all(name in gateways and gateways[name].feed.connected for name in GATEWAYS)
        )

    def unfinished(self) -> list[str]:
        """Return what is not finished: rows, jobs, messages and queues."""
        found = []
        for name, session in (("orders", self.orders_db), ("worker", self.worker_db)):
            if (count := session.value("SELECT count(*) FROM outbox")) != "0":
                found.append(f"{count} rows in the outbox of {name}")
        rows = self.worker_db.fetch(OPEN_JOBS)
        found += [f"{count} jobs of {job} are {state}: {error}" for job, state, count, error in rows]
        queues = self.programs.rabbit.queues
        names = [f"worker.{job}" for job in queues_of()]
        found += [f"{queues[name]} messages in {name}" for name in names if queues.get(name)]
        found += [f"{name} does not exist" for name in names if name not in queues]
        return found

    def _went_on(self, task: asyncio.Task[Any]) -> None:
        """Remember where a task has waited."""
        awaited: Any = task.get_coro()
        while awaited is not None:
            if (frame := _frame_of(awaited)) is not None:
                self._waited.add((frame.f_code, frame.f_lasti))
                awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
            elif type(awaited).__name__ in STEPS:
                awaited = next((each for each in gc.get_referents(awaited) if _frame_of(each) is not None), None)
            else:
                break

    @property
    def points(self) -> set[Point]:
        """The places at which tasks have waited."""
        positions = {code: list(code.co_positions()) for code, _ in self._waited}
        return {
            (code.co_filename, positions[code][at // 2][0] or 0)
            for code, at in self._waited
            if at // 2 < len(positions[code])  # Cython's have no positions
        }

    def _note_line(self, _logger: object, level: str, line: structlog.typing.EventDict) -> Any:
        """Put a log line into the history."""
        if line["event"] != "request":
            facts = {name: conceal(str(value)) for name, value in line.items() if name not in ("event", "exc_info")}
            self.note(self.loop.current, f"log {level}", line=repr(line["event"]), **facts)
        raise structlog.DropEvent

    def _killed(self, process: Process) -> None:
        self.note(process, "killed", steps=process.steps)
        self.programs.gateways.pop(process.name, None)
        self.programs.apps.pop(process.name, None)
        self.seen.known = {key: known for key, known in self.seen.known.items() if key[0] != process.name}

    def _replaced(self, key: bytes, before: bytes, after: bytes) -> None:
        """Look at a last known good panel that has replaced another."""
        earlier, later = asked_ms_of(after), asked_ms_of(before)
        if earlier is not None and later is not None and earlier < later <= wall_time(self.loop.now).timestamp() * 1000:
            self.seen.older_copies.append(f"{key.decode()}: requested at {earlier} ms, replaced one of {later} ms")

    def _came(self, gateway: str) -> None:
        """A gateway may have missed anything: its live feed has come back, or has brought what it cannot read."""
        for user in self.users:
            self._told(gateway, Change(user, None, "feed", b""))

    def _told(self, gateway: str, change: Change | None) -> None:
        """Record that a gateway has heard of a change: from now on it must show it."""
        if change is None:
            self._came(gateway)
            return
        user = str(change.user_id)
        known = self.seen.known.setdefault((gateway, user), {})
        panels = ("orders", "notifications", "analytics") if change.panels is None else change.panels
        self.note(self.process(gateway), "told", change=change.kind, panels=",".join(panels))
        if "orders" in panels:
            rows = self.orders_db.fetch(f"SELECT id, status FROM public.orders WHERE user_id = '{user}'")
            known["orders"] = {row[0]: row[1] for row in rows}
        if "notifications" in panels:
            count = self.worker_db.value(f"SELECT count(*) FROM notifications WHERE user_id = '{user}'")
            known["notifications"] = min(RECENT, int(count or 0))
        if "analytics" in panels:
            rows = self.worker_db.fetch(f"SELECT orders FROM user_rollups WHERE user_id = '{user}'")
            known["analytics"] = int(rows[0][0] or 0) if rows else 0


def _frame_of(awaited: object) -> FrameType | None:
    """Return where a coroutine or an asynchronous generator waits; None for anything else, or if it has ended."""
    found: FrameType | None = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
    return found
