"""One simulation: takes the steps of a plan in a world, ends all faults, and returns what was seen."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from services.worker.email.job import order_number
from tools.lab.simulation.checks import Effect, EventRow, Outcome
from tools.lab.simulation.clients import Clients
from tools.lab.simulation.faults import Faults
from tools.lab.simulation.machine.loop import NothingLeft, OutOfTime, wall_time
from tools.lab.simulation.plan import ACTIVE_S, GATEWAYS, SERVERS, SERVICES, WORKERS, Step
from tools.lab.simulation.programs import Databases, queues_of
from tools.lab.simulation.world import World

START_S = 60.0
"""How long everything may take to start."""
SETTLE_S = 400.0
"""How long everything may take to settle after the last fault. A leased mail waits for its lease, a message for its
backoff, and a partitioned connection for its heartbeat."""
LIMIT_S = START_S + ACTIVE_S + SETTLE_S + 400
LAST_S = 60.0
"""How long clients may go on after the calm time."""
TICK_S, BEFORE_TICK_S, LEAST_CALM_S = 60.0, 0.4, 5.0
CALM_NUMBER = 1_000_001
EVENTS = "SELECT id, type, user_id, order_id, task_key, at FROM simulation.events ORDER BY number"
EFFECTS = "SELECT event_id, task_key, extract(epoch FROM at) FROM simulation.effects ORDER BY id"
TICKS = "SELECT event_id, tick_at AT TIME ZONE 'UTC' FROM simulation.ticks ORDER BY id"
DOUBTFUL = "SELECT event_id FROM jobs WHERE job = 'email' AND state = 'dead' AND last_error LIKE 'MailLeftUncertain%'"


class NotStarted(Exception):
    """Without any fault, the processes were not ready in time."""


class Simulation:
    """Runs once."""

    def __init__(self, seed: int, plan: Sequence[Step], databases: Databases, socket: str) -> None:
        self.world = World(seed, databases, socket, LIMIT_S)
        self._plan = plan
        self._clients = Clients(self.world)
        self._faults = Faults(self.world)

    def run(self) -> Outcome:
        """Run to the end. What did not end in time is in the outcome."""
        unfinished: list[str] = []
        try:
            self.world.loop.run_until_complete(self._run())
        except (OutOfTime, NothingLeft) as endless:
            unfinished.append(f"the simulation did not end: {endless!r}")
        return self._outcome(unfinished)

    async def _run(self) -> None:
        world = self.world
        for name in (*SERVERS, *SERVICES):
            world.programs.start(name)
        if not await world.until(world.is_ready, START_S):
            raise NotStarted
        await world.loop.spawn(world.process("orders"), self._clients.register())
        began = world.loop.now
        for step in self._plan:
            await asyncio.sleep(max(0.0, began + step.at - world.loop.now))
            (self._faults if step.is_fault else self._clients).take(step)
        await asyncio.sleep(max(0.0, began + ACTIVE_S - world.loop.now))
        await self._faults.end()
        await world.until(world.is_ready, START_S)
        await self._calm()
        if world.tasks:
            await asyncio.wait(list(world.tasks), timeout=LAST_S)
        await world.until(lambda: not world.unfinished(), SETTLE_S)

    async def _calm(self) -> None:
        """Do some ordinary work without faults. A run is requested just before a tick, and both must run."""
        world = self.world
        await asyncio.sleep((2 * TICK_S - world.loop.now - BEFORE_TICK_S - LEAST_CALM_S) % TICK_S + LEAST_CALM_S)
        world.start_in(WORKERS[0], lambda: self._clients.run_schedule(WORKERS[0]))
        tick = wall_time(world.loop.now + BEFORE_TICK_S).replace(second=0, microsecond=0, tzinfo=None)
        world.seen.expected_ticks.append(str(tick))
        await asyncio.sleep(8)
        world.start(world.client, self._clients.place(0, CALM_NUMBER))
        await asyncio.sleep(5)
        for gateway in GATEWAYS:
            panels = ("orders", "notifications", "analytics")
            world.start_in(gateway, partial(self._clients.read, gateway, 0, 1000, panels))
        await asyncio.sleep(2)
        world.note(world.loop.world, "calm")

    def _outcome(self, unfinished: list[str]) -> Outcome:
        """Return what was seen, by clients and in the databases."""
        world, orders, worker = self.world, self.world.orders_db, self.world.worker_db
        events = [
            EventRow(str(id_), str(type_), str(user), float(at or 0), order, key)
            for id_, type_, user, order, key, at in orders.fetch(EVENTS)
        ]
        jobs_of: dict[str, list[str]] = {}
        for job, types in queues_of().items():
            for type_ in types:
                jobs_of.setdefault(type_, []).append(job)
        requested = {row[0] for row in worker.fetch("SELECT event_id FROM job_audit WHERE action = 'run'")}
        jobs = worker.fetch("SELECT job, event_id, state FROM jobs")
        return Outcome(
            jobs_of=jobs_of,
            events=events,
            ledger={(str(job), str(id_)): str(state) for job, id_, state in jobs},
            excused=frozenset(world.seen.excused),
            effects=[Effect(str(id_), key, float(at or 0)) for id_, key, at in worker.fetch(EFFECTS)],
            notifications=[str(row[0]) for row in worker.fetch("SELECT id FROM notifications")],
            rollups=_counts(worker.fetch("SELECT user_id, orders FROM user_rollups")),
            orders=_counts(orders.fetch("SELECT user_id, count(*) FROM public.orders GROUP BY 1")),
            mails=self._mails(events),
            doubtful_mails=frozenset(str(row[0]) for row in worker.fetch(DOUBTFUL)),
            ticks=[str(at) if id_ not in requested else f"requested {id_}" for id_, at in worker.fetch(TICKS)],
            expected_ticks=world.seen.expected_ticks,
            reads=world.seen.reads,
            older_copies=world.seen.older_copies,
            unfinished=[*unfinished, *world.unfinished()],
            errors=[f"{error.get('message')}: {error.get('exception')!r}" for error in world.loop.errors],
        )

    def _mails(self, events: Sequence[EventRow]) -> dict[str, list[str]]:
        """Return by order the Message-IDs of its confirmations."""
        numbers = {order_number(UUID(event.order_id)): event.order_id for event in events if event.order_id}
        found: dict[str, list[str]] = {}
        for mail in self.world.programs.mail.mails:
            with suppress(IndexError, KeyError):
                if mail.subject.endswith("is confirmed"):
                    found.setdefault(numbers[mail.subject.split()[2]], []).append(mail.message_id)
        return found


def _counts(rows: Sequence[Sequence[Any]]) -> dict[str, int]:
    return {str(user): int(count or 0) for user, count in rows}
