"""The faults of a simulation, by their names in a plan. Each lasts for a while, and leaves nothing behind."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import aio_pika

from shared.contracts import topology
from tools.lab.simulation.plan import SERVICES, Step
from tools.lab.simulation.programs import RABBITMQ_URL, queues_of
from tools.lab.simulation.world import World

PUBLISH_S = 5.0
STEP_S = 0.01
KILL_WITHIN_S = 2.0
"""A process that is to be killed after some of its callbacks is killed after this time at the latest."""


class Faults:
    """Harms a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._programs = world.programs
        self._kinds: Mapping[str, Callable[..., Awaitable[None]]] = {
            "kill": self._kill,
            "kill many": self._kill_many,
            "freeze": self._freeze,
            "cut": self._cut,
            "partition": self._partition,
            "slow network": self._slow_network,
            "statements": self._statements,
            "postgres breaks": self._postgres_breaks,
            "broker": self._broker,
            "broker restart": self._broker_restart,
            "broker blocks": self._broker_blocks,
            "queue deleted": self._queue_deleted,
            "consumers cancelled": self._consumers_cancelled,
            "redis": self._redis,
            "mail": self._mail,
            "clock": self._clock,
            "unreadable change": self._unreadable_change,
            "garbled changes": self._garbled_changes,
        }

    def take(self, step: Step) -> None:
        """Start a fault."""
        world = self._world
        world.seen.faults += 1
        world.note(world.loop.world, f"fault: {step.kind}", **step.facts)
        is_publish = step.kind == "unreadable change"
        world.start(world.client if is_publish else world.loop.world, self._kinds[step.kind](**step.facts))

    async def end(self) -> None:
        """End all faults, and start what was killed."""
        world, rabbit, redis, mail = self._world, self._programs.rabbit, self._programs.redis, self._programs.mail
        world.note(world.loop.world, "faults end")
        world.network.heal()
        world.network.slowness = 1.0
        world.statements.shares = {}
        world.postgres.is_away = False
        rabbit.faults.stop()
        rabbit.start()
        rabbit.unblock()
        redis.thaw()
        redis.start()
        mail.faults.stop()
        for process in self._programs.processes.values():
            process.skew_s, process.steps_left = 0.0, -1
        world.worker_db.fetch("DELETE FROM paused_jobs")
        for name in SERVICES:
            if not world.process(name).is_alive:
                self._programs.start(name)

    async def _kill(self, process: str, steps: int, down_s: float) -> None:
        """Kill a process after so many of its callbacks, and start it again after a while."""
        world, victim = self._world, self._world.process(process)
        if not victim.is_alive:
            return
        victim.steps_left = steps
        await world.until(lambda: not victim.is_alive, KILL_WITHIN_S, STEP_S)
        world.loop.kill(victim)
        await asyncio.sleep(down_s)
        if not world.process(process).is_alive:
            world.note(self._programs.start(process), "started")

    async def _kill_many(self, processes: Sequence[str], steps: int, down_s: float) -> None:
        await asyncio.gather(*(self._kill(process, steps, down_s) for process in processes))

    async def _freeze(self, process: str, for_s: float) -> None:
        world = self._world
        world.loop.freeze(world.process(process), for_s)
        world.frozen_until[process] = max(world.frozen_until.get(process, 0.0), world.loop.now + for_s)

    async def _cut(self, process: str, times: int) -> None:
        for _ in range(times):
            self._world.network.cut(self._world.process(process))

    async def _partition(self, one: str, other: str, for_s: float) -> None:
        self._world.network.partition(one, other)
        await asyncio.sleep(for_s)
        self._world.network.heal()

    async def _slow_network(self, factor: float, for_s: float) -> None:
        self._world.network.slowness = factor
        await asyncio.sleep(for_s)
        self._world.network.slowness = 1.0

    async def _statements(self, fates: dict[str, float], for_s: float) -> None:
        self._world.statements.shares = fates
        await asyncio.sleep(for_s)
        self._world.statements.shares = {}

    async def _postgres_breaks(self, away_s: float) -> None:
        postgres = self._world.postgres
        postgres.is_away = True
        for connection in list(postgres.connections):
            connection.break_off()
        await asyncio.sleep(away_s)
        postgres.is_away = False

    async def _broker(self, faults: Mapping[str, float], for_s: float) -> None:
        for name, share in faults.items():
            setattr(self._programs.rabbit.faults, name, share)
        await asyncio.sleep(for_s)
        self._programs.rabbit.faults.stop()

    async def _broker_restart(self, down_s: float) -> None:
        self._programs.rabbit.stop()
        await asyncio.sleep(down_s)
        self._programs.rabbit.start()

    async def _broker_blocks(self, for_s: float) -> None:
        self._programs.rabbit.block()
        await asyncio.sleep(for_s)
        self._programs.rabbit.unblock()

    async def _queue_deleted(self, job: str) -> None:
        """What is in the queue is lost with it: events that have left the outbox and not reached the ledger."""
        world = self._world
        waiting = {row[0] for row in world.orders_db.fetch("SELECT id FROM outbox")}
        seen = {row[0] for row in world.worker_db.fetch(f"SELECT event_id FROM jobs WHERE job = '{job}'")}
        types = queues_of()[job]
        for id_, type_ in world.orders_db.fetch("SELECT id, type FROM simulation.events"):
            if type_ in types and id_ not in waiting | seen:
                world.seen.excused.add((job, str(id_)))
        self._programs.rabbit.delete_queue(f"worker.{job}")

    async def _garbled_changes(self, share: float, for_s: float) -> None:
        """Let gateways receive changes as messages that they cannot read."""
        self._programs.rabbit.faults.garbled = share
        await asyncio.sleep(for_s)
        self._programs.rabbit.faults.garbled = 0.0

    async def _consumers_cancelled(self, job: str) -> None:
        self._programs.rabbit.cancel_consumers(f"worker.{job}")

    async def _redis(self, how: str, for_s: float) -> None:
        redis = self._programs.redis
        if how == "freeze":
            redis.freeze()
            await asyncio.sleep(for_s)
            redis.thaw()
        elif how == "restart":
            redis.restart()
        else:
            redis.lose_everything()

    async def _mail(self, faults: Mapping[str, float], for_s: float) -> None:
        for name, share in faults.items():
            setattr(self._programs.mail.faults, name, share)
        await asyncio.sleep(for_s)
        self._programs.mail.faults.stop()

    async def _clock(self, process: str, skew_s: float) -> None:
        self._world.process(process).skew_s = skew_s

    async def _unreadable_change(self) -> None:
        """Publish a message on the exchange of live hints that names no user."""
        with suppress(Exception):
            async with asyncio.timeout(PUBLISH_S), await aio_pika.connect(RABBITMQ_URL) as connection:
                exchange = await (await connection.channel()).get_exchange(topology.LIVE)
                await exchange.publish(aio_pika.Message(b"not JSON"), "hint")
