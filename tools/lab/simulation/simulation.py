"""One simulation: the world of a seed, its clients and faults, and what was seen."""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import aio_pika

from services.gateway.dashboard.models import Dashboard, NoPanelAvailable
from services.gateway.live.feed import Change
from services.gateway.panels import Panel
from services.gateway.upstream.circuit_breaker import State
from services.worker.email.job import order_number
from services.worker.ledger.admin import controls
from shared.contracts import topology
from shared.contracts.events import UserRegistered
from shared.http.identity import USER_ID_HEADER, USER_ROLE_HEADER
from shared.http.tokens import ServiceTokens
from shared.outbox import outbox
from shared.outbox.tasks import ConnectionTasks
from tools.lab.simulation import virtual
from tools.lab.simulation.checks import Effect, EventRow, Outcome, Read
from tools.lab.simulation.history import History
from tools.lab.simulation.jobs import Simulate
from tools.lab.simulation.loop import BEGINNING_S, NothingLeft, OutOfTime, Process, SimulationLoop
from tools.lab.simulation.network import Network
from tools.lab.simulation.plan import ACTIVE_S, SERVICES, USERS, Step
from tools.lab.simulation.postgres import PostgresTransport, PostgresWorld, Session, Statements, wall_time
from tools.lab.simulation.programs import GATEWAYS, RABBITMQ_URL, SECRET, SERVERS, WORKERS, Databases, Programs, queues_of

START_S = 60.0
"""How long everything may take to start."""
SETTLE_S = 900.0
"""How long everything may take to settle after the last fault. A leased mail waits for its lease, a message for its
backoff, and a partitioned connection for its heartbeat."""
ANSWER_S = 5.0
"""How long a client waits for one response."""
ATTEMPTS = 8
OPERATOR = UUID(int=1)

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


@dataclass
class Report:
    """The result of one simulation."""

    outcome: Outcome
    history: History
    virtual_s: float = 0.0
    steps: int = 0
    statements: int = 0
    faults: int = 0
    points: set[tuple[str, int]] = field(default_factory=set)
    """The await points at which a task waited when its process was killed, or when we looked."""


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


class Simulation:
    """Runs a plan. `points` of interest are sampled by `watch`, which is called now and then."""

    def __init__(self, seed: int, plan: Sequence[Step], databases: Databases, socket: str) -> None:
        self.seed = seed
        self.plan = plan
        self.databases = databases
        self.loop = SimulationLoop(seed, until_s=BEGINNING_S + START_S + ACTIVE_S + SETTLE_S + 100)
        self.history = History(BEGINNING_S)
        virtual.enter(self.loop, seed)
        self.random = Random(f"clients {seed}")
        self.network = Network(self.loop)
        self.postgres = PostgresWorld(self.loop, self.network, socket)
        self.postgres.statements = self.statements = RandomStatements(Random(f"statements {seed}"), self._note)
        self._orders_db = Session.open(socket, databases.orders)
        self._worker_db = Session.open(socket, databases.worker)
        self.programs = Programs(self.loop, databases, Random(f"servers {seed}"), self._told)
        self.client = self.loop.new_process("client")
        self.users = [UUID(int=Random(f"user {number}").getrandbits(128), version=4) for number in range(USERS)]
        self._tokens = ServiceTokens(SECRET, "gateway")
        self._placed: dict[UUID, list[str]] = {user: [] for user in self.users}
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._reads: list[Read] = []
        self._excused: set[tuple[str, str]] = set()
        self._frozen: dict[str, float] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._expected_ticks: list[str] = []
        self.report = Report(Outcome(), self.history)
        self.loop.on_kill.append(self._killed)

    def run(self) -> Report:
        """Run to the end. What did not end in time is in the outcome."""
        unfinished: list[str] = []
        try:
            self.loop.run_until_complete(self._run())
        except (OutOfTime, NothingLeft) as endless:
            unfinished.append(f"the simulation did not end: {endless!r}")
        self.report.outcome = self._outcome(unfinished)
        self.report.virtual_s = self.loop.now - BEGINNING_S
        self.report.steps = self.loop.steps
        self.report.statements = self.postgres.count
        return self.report

    async def _run(self) -> None:
        for name in (*SERVERS, *SERVICES):
            self.programs.start(name)
        await self._until(self._is_ready, START_S)
        await self._register()
        began = self.loop.now
        for step in self.plan:
            await asyncio.sleep(max(0.0, began + step.at - self.loop.now))
            self._take(step)
            self.sample()
        await asyncio.sleep(max(0.0, began + ACTIVE_S - self.loop.now))
        await self._end_faults()
        await self._calm()
        self._note(self.loop.world, "calm")
        for task in list(self._tasks):
            with suppress(Exception):
                await asyncio.wait([task], timeout=60)
        await self._until(self._is_settled, SETTLE_S)

    # -- time

    async def _until(self, reached: Callable[[], object], seconds: float) -> bool:
        ends = self.loop.now + seconds
        while not reached():
            if self.loop.now > ends:
                return False
            await asyncio.sleep(0.5)
        return True

    def _note(self, process: Process, kind: str, **facts: Any) -> None:
        self.history.add(self.loop.now, process.name, kind, **facts)

    def sample(self) -> None:
        """Remember where the tasks of all processes wait."""
        for task in asyncio.all_tasks(self.loop):
            self._sample(task)

    def _sample(self, task: asyncio.Task[Any]) -> None:
        awaited: Any = task.get_coro()
        while awaited is not None:
            frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
            if frame is None:
                break
            self.report.points.add((frame.f_code.co_filename, frame.f_lineno))
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)

    def _killed(self, process: Process) -> None:
        self._note(process, "killed", steps=process.steps)
        self.programs.gateways.pop(process.name, None)
        self.programs.apps.pop(process.name, None)
        self._known = {key: known for key, known in self._known.items() if key[0] != process.name}

    # -- the start

    def _is_ready(self) -> bool:
        apps, gateways = self.programs.apps, self.programs.gateways
        workers = [apps[name].state for name in WORKERS if name in apps]
        queues = self.programs.rabbit.queues
        return (
            "orders" in apps
            and len(workers) == len(WORKERS)
            and all(f"worker.{job}" in queues for job in queues_of())
            and len(gateways) == len(GATEWAYS)
            and all(gateway.feed.connected for gateway in gateways.values())
        )

    async def _register(self) -> None:
        """Let the worker know the users."""
        task = self.loop.spawn(self.programs.processes["orders"], self._registered())
        await asyncio.wait([task])
        task.result()

    async def _registered(self) -> None:
        db = self.programs.apps["orders"].state.db
        async with db.begin() as session:
            for number, user in enumerate(self.users):
                at = wall_time(self.loop.now)
                event = UserRegistered(
                    user_id=user, email=f"user{number}@example.com", name=f"User {number}", revision=1, registered_at=at
                )
                await outbox.add(session, event)

    # -- steps

    def _take(self, step: Step) -> None:
        facts = dict(step.facts)
        if step.is_fault:
            self.report.faults += 1
            self._note(self.loop.world, f"fault: {step.kind}", **facts)
            self._start(self.loop.world, self._fault(step.kind, facts))
        elif step.kind in ("order", "pay"):
            user = self.users[facts["user"]]
            work = self._place(user, facts["number"]) if step.kind == "order" else self._pay(user, facts["number"])
            self._start(self.client, work)
        elif step.kind in ("task", "keyed task"):
            self._in_process("orders", lambda: self._add_task(**facts))
        elif step.kind == "run schedule":
            self._in_process(facts["worker"], lambda: self._run_schedule(facts["worker"]))
        elif step.kind == "pause":
            self._start(self.loop.world, self._pause(facts["job"], facts["for_s"]))
        elif step.kind == "read":
            self._in_process(facts["gateway"], lambda: self._read(**facts))

    def _start(self, process: Process, work: Any) -> None:
        task = self.loop.spawn(process, work)
        if process in (self.client, self.loop.world):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _in_process(self, name: str, work: Callable[[], Any]) -> None:
        """Do something in a process, if it runs and has started."""
        process = self.programs.processes[name]
        if process.is_alive and (name in self.programs.apps or name in self.programs.gateways):
            self.loop.spawn(process, work())

    # -- clients

    async def _place(self, user: UUID, number: int) -> None:
        body = {"currency": "EUR", "items": [{"sku": "tea", "name": "Tea", "quantity": 1, "unit_price": number}]}
        headers = {"Idempotency-Key": f"key-{number}"}
        answer = await self._request("POST", "/v1/orders", user, body, headers)
        if answer is not None:
            order = answer["id"]
            self._placed[user].append(order)
            self._note(self.client, "placed", user=self.users.index(user), order=order)

    async def _pay(self, user: UUID, number: int) -> None:
        if placed := self._placed[user]:
            order = placed[number % len(placed)]
            if await self._request("POST", f"/v1/orders/{order}/pay", user, None, {}):
                self._note(self.client, "paid", user=self.users.index(user), order=order)

    async def _request(self, method: str, path: str, user: UUID, body: Any, headers: dict[str, str]) -> Any:
        """Repeat a request until its outcome is known. Returns None if it never is, or is a refusal."""
        for attempt in range(ATTEMPTS):
            try:
                async with asyncio.timeout(ANSWER_S):
                    status, answer = await self._exchange(method, path, user, body, headers)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                self._note(self.client, "no answer", path=path, error=type(error).__name__)
            else:
                if status < 300:
                    return json.loads(answer)
                self._note(self.client, "refused", path=path, status=status)
                if status < 500 and status != 409:
                    return None
            await asyncio.sleep(self.random.random() * 2**attempt)
        return None

    async def _exchange(
        self, method: str, path: str, user: UUID, body: Any, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("orders", 8002)
        try:
            content = b"" if body is None else json.dumps(body).encode()
            lines = {
                "Host": "orders",
                "Connection": "close",
                "Authorization": f"Bearer {self._tokens.token()}",
                USER_ID_HEADER: str(user),
                USER_ROLE_HEADER: "user",
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                **headers,
            }
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
            status = int((await reader.readline()).split()[1])
            length = 0
            while (line := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            return status, await reader.readexactly(length)
        except IndexError as cut:
            raise ConnectionResetError("no status") from cut
        finally:
            writer.close()

    async def _add_task(self, fails: int = 0, delay_s: float = 0, key: str | None = None) -> None:
        """Add a task in a transaction of the orders service."""
        db = self.programs.apps["orders"].state.db
        tasks = ConnectionTasks()
        user = self.users[0]
        delay = timedelta(seconds=delay_s) if delay_s else None
        event_id = tasks.add_task(Simulate(user_id=user, fails=fails, task_key=key), delay=delay, key=key)
        with suppress(Exception):
            async with db.connection() as connection, connection.transaction():
                await tasks.flush(connection)
            self._note(self.programs.processes["orders"], "task added", id=event_id, key=key)

    async def _run_schedule(self, worker: str) -> None:
        app = self.programs.apps[worker]
        with suppress(Exception):
            event_id = await controls.run_schedule(app.state.db, app.state.jobs, "simulated-tick", OPERATOR)
            self._note(self.programs.processes[worker], "run requested", id=event_id)

    async def _pause(self, job: str, for_s: float) -> None:
        await self._control("INSERT INTO paused_jobs (job, paused_by) VALUES ('{}', '{}') ON CONFLICT DO NOTHING", job)
        await asyncio.sleep(for_s)
        await self._control("DELETE FROM paused_jobs WHERE job = '{}'", job)

    async def _control(self, statement: str, job: str) -> None:
        self._worker_db.fetch(statement.format(job, OPERATOR))
        self._note(self.loop.world, "control", statement=statement.split()[0], job=job)

    async def _read(self, gateway: str, user: int, budget_ms: int, panels: Iterable[str], no_cache: bool) -> None:  # noqa: FBT001
        """Read a dashboard at a gateway, as its route does."""
        found = self.programs.gateways[gateway]
        user_id, began, budget_s = self.users[user], self.loop.now, budget_ms / 1000
        wanted = tuple(panel for panel in found.catalog.panels if panel.name in set(panels))
        known = {name: version for name, version in self._known.get((gateway, str(user_id)), {}).items()}
        known["orders"] = dict(known.get("orders", {}))
        seconds: Any = {}
        open_before = self._suspended(gateway, wanted)
        views: Any
        try:
            dashboard: Dashboard
            dashboard, seconds = await found.dashboards.read(user_id, wanted, budget_s, no_cache=no_cache)
            views = dashboard.panels
        except NoPanelAvailable as none:
            views = none.panels
        shown = {name: (view.status, _version(name, view.data), _code(view)) for name, view in views.items()}
        process = self.programs.processes[gateway]
        self._reads.append(
            Read(
                gateway=gateway,
                user=str(user),
                began=began,
                ended=self.loop.now,
                budget_s=budget_s,
                panels=shown,
                seconds=dict(seconds),
                timeouts_s={panel.name: panel.timeout_s for panel in wanted},
                known=known,
                suspended=frozenset(open_before & self._suspended(gateway, wanted)),
                was_disturbed=self._frozen.get(gateway, 0.0) >= began,
            )
        )
        said = ",".join(f"{name}:{status}{'/' + error if error else ''}" for name, (status, _, error) in shown.items())
        self._note(process, "read", user=user, ms=round((self.loop.now - began) * 1000), budget_ms=budget_ms, panels=said)

    def _suspended(self, gateway: str, panels: Iterable[Panel]) -> set[str]:
        """Return the panels whose service the gateway does not call now."""
        backends = self.programs.gateways[gateway].backends._known
        return {
            panel.name
            for panel in panels
            if (policies := backends[panel.service].policies) and policies.breaker.state is not State.CLOSED
        }

    def _told(self, gateway: str, change: Change | None) -> None:
        """A gateway has been told of a change: from now on it must show what there is."""
        if change is None:
            return
        user = str(change.user_id)
        known = self._known.setdefault((gateway, user), {})
        panels = ("orders", "notifications", "analytics") if change.panels is None else change.panels
        self._note(self.programs.processes[gateway], "told", change=change.kind, panels=",".join(panels))
        if "orders" in panels:
            rows = self._orders_db.fetch(f"SELECT id, status FROM public.orders WHERE user_id = '{user}'")
            known["orders"] = {row[0]: row[1] for row in rows}
        if "notifications" in panels:
            count = self._worker_db.value(f"SELECT count(*) FROM notifications WHERE user_id = '{user}'")
            known["notifications"] = min(20, int(count or 0))
        if "analytics" in panels:
            rows = self._worker_db.fetch(f"SELECT orders FROM user_rollups WHERE user_id = '{user}'")
            known["analytics"] = int(rows[0][0] or 0) if rows else 0

    # -- faults

    async def _fault(self, kind: str, facts: dict[str, Any]) -> None:
        rabbit, redis = self.programs.rabbit, self.programs.redis
        for_s = facts.get("for_s", 0.0)
        match kind:
            case "kill":
                await self._kill(facts["process"], facts["steps"], facts["down_s"])
            case "kill many":
                await asyncio.gather(*(self._kill(name, 0, facts["down_s"]) for name in facts["processes"]))
            case "freeze":
                process = self.programs.processes[facts["process"]]
                self.loop.freeze(process, for_s)
                self._frozen[process.name] = max(self._frozen.get(process.name, 0.0), self.loop.now + for_s)
            case "cut":
                for _ in range(facts["times"]):
                    self.network.cut(self.programs.processes[facts["process"]])
            case "partition":
                self.network.partition(facts["one"], facts["other"])
                await asyncio.sleep(for_s)
                self.network.heal()
            case "slow network":
                self.network.slowness = facts["factor"]
                await asyncio.sleep(for_s)
                self.network.slowness = 1.0
            case "statements":
                self.statements.shares = facts["fates"]
                await asyncio.sleep(for_s)
                self.statements.shares = {}
            case "postgres breaks":
                self.postgres.is_away = True
                for connection in list(self.postgres.connections):
                    connection.break_off()
                await asyncio.sleep(facts["away_s"])
                self.postgres.is_away = False
            case "broker":
                for name, share in facts["faults"].items():
                    setattr(rabbit.faults, name, share)
                await asyncio.sleep(for_s)
                rabbit.faults.stop()
            case "broker restart":
                rabbit.stop()
                await asyncio.sleep(facts["down_s"])
                rabbit.start()
            case "broker blocks":
                rabbit.block()
                await asyncio.sleep(for_s)
                rabbit.unblock()
            case "queue deleted":
                self._excuse(facts["job"])
                rabbit.delete_queue(f"worker.{facts['job']}")
            case "consumers cancelled":
                rabbit.cancel_consumers(f"worker.{facts['job']}")
            case "redis":
                await self._harm_redis(redis, facts["how"], for_s)
            case "mail":
                for name, share in facts["faults"].items():
                    setattr(self.programs.mail.faults, name, share)
                await asyncio.sleep(for_s)
                for name in facts["faults"]:
                    setattr(self.programs.mail.faults, name, 0.0)
            case "clock":
                self.programs.processes[facts["process"]].skew_s = facts["skew_s"]
            case "unreadable change":
                self._start(self.client, self._publish_unreadable())

    async def _kill(self, name: str, steps: int, down_s: float) -> None:
        """Kill a process after so many of its callbacks, and start it again after a while."""
        process = self.programs.processes[name]
        if not process.is_alive:
            return
        process.steps_left = steps
        ended = self.loop.now + 2
        while process.is_alive and self.loop.now < ended:
            await asyncio.sleep(0.01)
        for task in asyncio.all_tasks(self.loop):
            self._sample(task)
        self.loop.kill(process)
        await asyncio.sleep(down_s)
        if not self.programs.processes[name].is_alive:
            self.programs.start(name)
            self._note(self.programs.processes[name], "started")

    @staticmethod
    async def _harm_redis(redis: Any, how: str, for_s: float) -> None:
        if how == "freeze":
            redis.freeze()
            await asyncio.sleep(for_s)
            redis.thaw()
        elif how == "restart":
            redis.restart()
        else:
            redis.lose_everything()

    async def _publish_unreadable(self) -> None:
        """A message on the live exchange that names no user."""
        with suppress(Exception):
            async with asyncio.timeout(ANSWER_S), await aio_pika.connect(RABBITMQ_URL) as connection:
                channel = await connection.channel()
                exchange = await channel.get_exchange(topology.LIVE)
                await exchange.publish(aio_pika.Message(b"not JSON"), "hint")

    def _excuse(self, job: str) -> None:
        """What is in a queue is lost with it: events that have left the outbox and not reached the ledger."""
        waiting = {row[0] for row in self._orders_db.fetch("SELECT id FROM outbox")}
        seen = {row[0] for row in self._worker_db.fetch(f"SELECT event_id FROM jobs WHERE job = '{job}'")}
        types = queues_of()[job]
        for id_, type_ in self._orders_db.fetch("SELECT id, type FROM simulation.events"):
            if type_ in types and id_ not in waiting | seen:
                self._excused.add((job, str(id_)))

    async def _end_faults(self) -> None:
        """Nothing goes wrong any more, and everything that was killed runs again."""
        self._note(self.loop.world, "faults end")
        rabbit, redis = self.programs.rabbit, self.programs.redis
        self.network.heal()
        self.network.slowness = 1.0
        self.statements.shares = {}
        self.postgres.is_away = False
        rabbit.faults.stop()
        rabbit.start()
        rabbit.unblock()
        redis.thaw()
        redis.start()
        for name in self.programs.mail.faults.__dict__:
            setattr(self.programs.mail.faults, name, 0.0)
        for process in self.programs.processes.values():
            process.skew_s, process.steps_left = 0.0, -1
        self._worker_db.fetch("DELETE FROM paused_jobs")
        await asyncio.sleep(1)
        for name in SERVICES:
            if not self.programs.processes[name].is_alive:
                self.programs.start(name)
        await self._until(self._is_ready, START_S)

    async def _calm(self) -> None:
        """Some ordinary work without faults: ticks must run, also beside a requested run, and readers see everything."""
        await asyncio.sleep(120 - self.loop.now % 60 - 0.4)
        self._in_process(WORKERS[0], lambda: self._run_schedule(WORKERS[0]))
        minute = wall_time(self.loop.now + 0.4).replace(second=0, microsecond=0)
        self._expected_ticks.append(minute.isoformat())
        await asyncio.sleep(8)
        self._start(self.client, self._place(self.users[0], 1_000_001))
        await asyncio.sleep(5)
        for gateway in GATEWAYS:
            panels = ("orders", "notifications", "analytics")
            read = partial(self._read, gateway, 0, 1000, panels, False)
            self._in_process(gateway, read)
        await asyncio.sleep(2)

    # -- the end

    def _is_settled(self) -> bool:
        return not self._open()

    def _open(self) -> list[str]:
        """Return what is not finished."""
        found = []
        for name, session in (("orders", self._orders_db), ("worker", self._worker_db)):
            if (count := session.value("SELECT count(*) FROM outbox")) != "0":
                found.append(f"{count} rows in the outbox of {name}")
        rows = self._worker_db.fetch(
            "SELECT job, state, count(*), max(last_error) FROM jobs WHERE state IN ('retrying', 'scheduled', 'running')"
            " GROUP BY 1, 2 ORDER BY 1, 2"
        )
        found += [f"{count} jobs of {job} are {state}: {error}" for job, state, count, error in rows]
        queues = self.programs.rabbit.queues
        names = [f"worker.{job}" for job in queues_of()]
        found += [f"{queues[name]} messages in {name}" for name in names if queues.get(name)]
        found += [f"{name} does not exist" for name in names if name not in queues]
        return found

    def _outcome(self, unfinished: list[str]) -> Outcome:
        """Return what was seen, from the history and from the databases."""
        orders, worker = self._orders_db, self._worker_db
        events = [
            EventRow(str(id_), str(type_), str(user), float(at or 0), order, key)
            for id_, type_, user, order, key, at in orders.fetch(
                "SELECT id, type, user_id, order_id, task_key, at FROM simulation.events ORDER BY number"
            )
        ]
        numbers = {order_number(UUID(event.order_id)): event.order_id for event in events if event.order_id}
        mails: dict[str, list[str]] = {}
        for mail in self.programs.mail.mails:
            words = mail.subject.split()
            if mail.subject.endswith("is confirmed") and len(words) > 2 and words[2] in numbers:
                mails.setdefault(str(numbers[words[2]]), []).append(mail.message_id)
        jobs_of: dict[str, list[str]] = {}
        for job, types in queues_of().items():
            for type_ in types:
                jobs_of.setdefault(type_, []).append(job)
        doubtful = worker.fetch(
            "SELECT event_id FROM jobs WHERE job = 'email' AND state = 'dead' AND last_error LIKE 'MailLeftUncertain%'"
        )
        ticks = worker.fetch("SELECT event_id, tick_at AT TIME ZONE 'UTC' FROM simulation.ticks ORDER BY id")
        requested = {row[0] for row in worker.fetch("SELECT event_id FROM job_audit WHERE action = 'run'")}
        return Outcome(
            jobs_of=jobs_of,
            events=events,
            ledger={(str(job), str(id_)): str(state) for job, id_, state in worker.fetch("SELECT job, event_id, state FROM jobs")},
            excused=frozenset(self._excused),
            effects=[
                Effect(str(id_), key, float(at or 0))
                for id_, key, at in worker.fetch(
                    "SELECT event_id, task_key, extract(epoch FROM at) FROM simulation.effects ORDER BY id"
                )
            ],
            notifications=[str(row[0]) for row in worker.fetch("SELECT id FROM notifications")],
            rollups={str(user): int(count or 0) for user, count in worker.fetch("SELECT user_id, orders FROM user_rollups")},
            orders={
                str(user): int(count or 0)
                for user, count in orders.fetch("SELECT user_id, count(*) FROM public.orders GROUP BY 1")
            },
            mails=mails,
            doubtful_mails=frozenset(str(row[0]) for row in doubtful),
            ticks=[str(at) if id_ not in requested else f"requested {id_}" for id_, at in ticks],
            expected_ticks=[each.replace("T", " ").removesuffix("+00:00") for each in self._expected_ticks],
            reads=self._reads,
            unfinished=[*unfinished, *self._open()],
            errors=[_described(error) for error in self.loop.errors],
        )


def _version(panel: str, data: Any) -> Any:
    """Return what can be compared of a panel's content."""
    if data is None:
        return None
    content = json.loads(bytes(data))
    if panel == "orders":
        return {order["id"]: order["status"] for order in content}
    return len(content) if panel == "notifications" else content["orders"]


def _code(view: Any) -> str | None:
    return getattr(view.error, "code", None)


def _described(context: dict[str, Any]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"
