"""A cluster of three RabbitMQ nodes on this machine."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.contracts.topology import QUEUES
from tests.support.backends.local import LocalRabbit
from tests.support.backends.rabbit import RabbitControl
from tools.devstack.servers.base import Server
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Processes

NODES = 3
PEER = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {node}
"""
"""A node that starts for the first time joins the cluster of this node."""


class ClusterNode(LocalRabbit):
    """A node with the shared cookie and epmd; joins `peer` at its first start."""

    def __init__(
        self, processes: Processes, folder: Path, cookie: str, epmd_port: int, peer: "ClusterNode | None"
    ) -> None:
        super().__init__(processes, folder, folder.with_suffix(".log"))
        self.name = folder.name
        self._epmd_port = epmd_port
        self._peer = peer
        home = self.folder / "home"
        home.mkdir(parents=True)
        (home / ".erlang.cookie").write_text(cookie)
        (home / ".erlang.cookie").chmod(0o400)

    @property
    def node(self) -> str:
        """The node's name in the cluster."""
        return self._environment["RABBITMQ_NODENAME"]

    def _write_files(self) -> None:
        super()._write_files()
        if self._peer:
            with (self.folder / "rabbitmq.conf").open("a") as config:
                config.write(PEER.format(node=self._peer.node))


class Cluster(RabbitControl):
    """The cluster; sends queries to a node that is alive."""

    def __init__(self, nodes: list[ClusterNode]) -> None:
        self.nodes = nodes

    @property
    def alive(self) -> ClusterNode:
        return next(node for node in self.nodes if node.pids)

    @property
    def url(self) -> str:
        return self.alive.url

    @property
    def urls(self) -> str:
        return ",".join(node.url for node in self.nodes)

    def rabbitmqctl(self, *arguments: str) -> str:
        return self.alive.rabbitmqctl(*arguments)

    def queues(self) -> dict[str, dict[str, Any]]:
        """Return `leader`, `members` and `online` of each job's queue, as names of nodes."""
        listed = json.loads(
            self.rabbitmqctl("list_queues", "name", "leader", "members", "online", "--formatter", "json")
        )
        jobs = {queue.name for queue in QUEUES.values()}
        return {queue["name"]: queue for queue in listed if queue["name"] in jobs}

    def leader_of(self, queue: str) -> ClusterNode:
        name = self.queues()[queue]["leader"]
        return next(node for node in self.nodes if node.node == name)

    def incomplete(self) -> list[str]:
        """Return the queues that do not have a replica on every node."""
        return [name for name, queue in self.queues().items() if len(queue["online"]) != NODES]


@contextmanager
def running_cluster(folder: Path, processes: Processes) -> Iterator[Cluster]:
    """Run the nodes. They start one after the other, so that each finds the first."""
    folder.mkdir(parents=True)
    cookie, epmd_port = secrets.token_hex(16), free_port()
    nodes: list[ClusterNode] = []
    try:
        for number in range(1, NODES + 1):
            peer = nodes[0] if nodes else None
            nodes.append(ClusterNode(processes, folder / f"rabbitmq-{number}", cookie, epmd_port, peer))
            nodes[-1].start()
        yield Cluster(nodes)
    finally:
        stop_all(reversed(nodes))


def stop_all(servers: Iterator[Server]) -> None:
    for server in servers:
        server.stop()
