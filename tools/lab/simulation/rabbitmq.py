"""A model of one RabbitMQ 4 node that speaks AMQP 0-9-1, so that the real aio-pika runs against it unchanged.

Everything that it decides comes from a `random.Random`, and everything that it waits for from the running loop: with
the same seed, the same requests in the same order have the same results. It has what this project uses of RabbitMQ;
anything else closes the connection with 540 NOT_IMPLEMENTED and is noted in `not_modelled`.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tools.devstack.servers.rabbitmq import DEFINITIONS
from tools.lab.simulation.amqp.broker import Broker
from tools.lab.simulation.amqp.connection import Connection
from tools.lab.simulation.amqp.faults import BrokerFaults as BrokerFaults
from tools.lab.simulation.amqp.topology import Policy

USERS = {"guest": "guest"}


def read_policies(definitions: Path = DEFINITIONS) -> tuple[Policy, ...]:
    """Return the policies for queues in a file of definitions, by default the ones that every deployment has."""
    policies = json.loads(definitions.read_text())["policies"]
    return tuple(
        Policy(one["pattern"], one["priority"], one["definition"])
        for one in policies
        if one["vhost"] == "/" and one["apply-to"] in ("queues", "quorum_queues", "all")
    )


class RabbitModel:
    """Give `serve` to `asyncio.start_server`, or to the simulated network."""

    def __init__(
        self, random: Random, faults: BrokerFaults | None = None, policies: Sequence[Policy] | None = None
    ) -> None:
        self._random = random
        self._broker = Broker(random, faults or BrokerFaults(), read_policies() if policies is None else policies)
        self._connections: dict[Connection, None] = {}
        self._is_running = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client connection to its end. While the broker is stopped it is refused."""
        if not self._is_running:
            writer.transport.abort()
            return
        connection = Connection(self._broker, reader, writer, USERS)
        self._connections[connection] = None
        try:
            await connection.run()
        finally:
            self._connections.pop(connection, None)

    @property
    def faults(self) -> BrokerFaults:
        return self._broker.faults

    @faults.setter
    def faults(self, faults: BrokerFaults) -> None:
        self._broker.faults = faults

    @property
    def not_modelled(self) -> list[str]:
        """Everything that a client has asked for and the model does not have."""
        return self._broker.not_modelled

    @property
    def queues(self) -> dict[str, int]:
        """By name, how many messages each queue could deliver."""
        return {name: len(queue) for name, queue in self._broker.topology.queues.items()}

    @property
    def consumers(self) -> dict[str, int]:
        """By name, how many consumers each queue has."""
        return {name: len(queue.consumers) for name, queue in self._broker.topology.queues.items()}

    @property
    def in_flight(self) -> int:
        """The number of messages that are delivered and not settled."""
        return sum(connection.unsettled for connection in self._connections)

    @property
    def blocked(self) -> int:
        """The number of connections that wait to be read again."""
        return sum(connection.is_blocked for connection in self._connections)

    @property
    def is_blocked(self) -> bool:
        return self._broker.is_blocked

    def cut_all(self) -> None:
        """Lose all connections, as a failed network does."""
        for connection in list(self._connections):
            connection.cut()

    def close_all(self, text: str = "closed by the simulation") -> None:
        """Close all connections, as an operator does: clients learn the reason."""
        for connection in list(self._connections):
            connection.close(text)

    def block(self) -> None:
        """Memory or disk is low: connections that publish are no longer read."""
        self._broker.is_blocked = True

    def unblock(self) -> None:
        self._broker.is_blocked = False
        for connection in list(self._connections):
            connection.resume()

    def delete_queue(self, name: str) -> None:
        """Delete a queue with its messages, if it exists; its consumers are cancelled."""
        if name in self._broker.topology.queues:
            self._broker.delete_queue(name)

    def cancel_consumers(self, name: str) -> None:
        """Cancel all consumers of a queue, if it exists."""
        if name in self._broker.topology.queues:
            self._broker.cancel_consumers(name)

    def stop(self) -> None:
        """Crash. All connections are lost, and so is what only memory had: transient queues and exchanges, and
        unconfirmed changes, as many of the last ones as the seed says. What was confirmed remains."""
        self._is_running = False
        self.cut_all()
        self._broker.is_blocked = False
        topology = self._broker.topology
        topology.forget_transient()
        for queue in topology.queues.values():
            queue.crash(self._random, self._broker.now)

    def start(self) -> None:
        """Accept connections again."""
        self._is_running = True

    def restart(self) -> None:
        """Crash, and be back at once."""
        self.stop()
        self.start()
