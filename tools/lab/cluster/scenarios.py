"""The servers that are lost: a node of RabbitMQ, or the primary of Postgres."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.support.backends.local import LocalRabbit
from tests.support.waiting import eventually
from tools.devstack.mailcatcher import MailCatcher
from tools.devstack.servers.postgres import Postgres
from tools.devstack.servers.valkey import Valkey
from tools.devstack.system.processes import Processes
from tools.lab.chaos.checks import Check
from tools.lab.chaos.faults import Fault
from tools.lab.chaos.injected import NOT_YET, Injected
from tools.lab.chaos.servers import Servers
from tools.lab.cluster.postgres import Pair, running_pair
from tools.lab.cluster.rabbit import Cluster, ClusterNode, running_cluster
from tools.lab.cluster.trial import Scenario, Start

QUEUE = "worker.email"
"""The queue whose leader is killed."""


@dataclass
class LostNode:
    cluster: Cluster
    name: str = "lost node"
    injected: Sequence[Injected] = ()

    def __post_init__(self) -> None:
        self._lost: ClusterNode | None = None
        self._before: list[str] = []

    async def lose(self) -> str:
        queues = await asyncio.to_thread(self.cluster.queues)
        self._before = [name for name, queue in queues.items() if len(queue["members"]) != len(self.cluster.nodes)]
        leaders = Counter(queue["leader"] for queue in queues.values())
        self._lost = await asyncio.to_thread(self.cluster.leader_of, QUEUE)
        self._lost.kill()
        led = leaders[self._lost.node]
        return f"SIGKILL of {self._lost.name}, which led {led} of {len(queues)} queues, {QUEUE} among them"

    async def bring_back(self) -> str:
        assert self._lost
        began = time.monotonic()
        await asyncio.to_thread(self._lost.start)
        await eventually(self._is_whole, within=120)
        return f"{self._lost.name} is back, every queue has its replicas again after {time.monotonic() - began:.1f} s"

    def checks(self) -> list[Check]:
        return [
            Check("queues without a replica on each node, before", self._before),
            Check("queues without a replica on each node, in the end", self.cluster.incomplete()),
        ]

    async def _is_whole(self) -> bool:
        return not await asyncio.to_thread(self.cluster.incomplete)


@dataclass
class FailOver:
    """`pause_s` is the time that an operator needs to notice that the primary has failed and to promote the standby."""

    pair: Pair
    synchronous: bool
    pause_s: float = 3.0
    name: str = "failover"
    injected: list[Injected] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._standbys: list[str] = []

    async def lose(self) -> str:
        self._standbys = await asyncio.to_thread(self.pair.primary.standbys)
        self.injected.append(Injected(Fault(0, "crash", "postgres", self.pause_s), time.time(), NOT_YET))
        self.pair.primary.kill()
        await asyncio.sleep(self.pause_s)
        began = time.monotonic()
        await asyncio.to_thread(self.pair.fail_over)
        self.injected[-1].ended = time.time()
        took = time.monotonic() - began
        return f"SIGKILL of the primary; {self.pause_s:.0f} s later its standby was promoted, in {took:.1f} s"

    async def bring_back(self) -> str:
        began = time.monotonic()
        await asyncio.to_thread(partial(self.pair.rejoin, synchronous=self.synchronous))
        return f"the old primary is back as the standby, after {time.monotonic() - began:.1f} s"

    def checks(self) -> list[Check]:
        synchronous = "sync" in self._standbys
        return [Check("standbys not synchronous at the loss", [] if synchronous else self._standbys, self.synchronous)]


@asynccontextmanager
async def lost_node(folder: Path, processes: Processes) -> AsyncIterator[tuple[Scenario, Servers]]:
    with ExitStack() as stack:
        postgres = Postgres(processes, folder / "postgres", folder / "postgres.log")
        stack.callback(postgres.stop)
        await asyncio.to_thread(postgres.start)
        starting = running_cluster(folder / "cluster", processes)
        cluster = await asyncio.to_thread(stack.enter_context, starting)
        redis, smtp = await asyncio.to_thread(_others, folder, processes, stack)
        urls = {"postgres": postgres.url, "redis": redis.url, "rabbitmq": cluster.urls, "smtp": smtp.url}
        yield LostNode(cluster), Servers(postgres, cluster, smtp, urls)


def fail_over(*, synchronous: bool) -> Start:
    @asynccontextmanager
    async def start(folder: Path, processes: Processes) -> AsyncIterator[tuple[Scenario, Servers]]:
        with ExitStack() as stack:
            starting = running_pair(folder / "pair", processes, synchronous=synchronous)
            pair = await asyncio.to_thread(stack.enter_context, starting)
            rabbitmq = LocalRabbit(processes, folder / "rabbitmq", folder / "rabbitmq.log")
            stack.callback(rabbitmq.stop)
            await asyncio.to_thread(rabbitmq.start)
            redis, smtp = await asyncio.to_thread(_others, folder, processes, stack)
            urls = {"postgres": pair.urls, "redis": redis.url, "rabbitmq": rabbitmq.url, "smtp": smtp.url}
            yield FailOver(pair, synchronous), Servers(pair, rabbitmq, smtp, urls)

    return start


def _others(folder: Path, processes: Processes, stack: ExitStack) -> tuple[Valkey, MailCatcher]:
    redis = Valkey(processes, folder / "redis", folder / "redis.log")
    smtp = MailCatcher(processes, folder / "mail.sqlite", folder / "smtp.log")
    for server in (redis, smtp):
        stack.callback(server.stop)
        server.start()
    return redis, smtp
