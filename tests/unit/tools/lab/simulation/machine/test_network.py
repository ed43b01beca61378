"""The network of simulations: order, ends, cuts and partitions."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from tests.support.simulation.loops import close, pass_time
from tools.lab.simulation.machine.loop import SimulationLoop
from tools.lab.simulation.machine.network import Network

# Nothing closes the connections of a process that was killed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function StreamWriter.__del__:pytest.PytestUnraisableExceptionWarning"
)


class World:
    """A server process that echoes, and a client process."""

    def __init__(self, seed: int) -> None:
        self.loop = SimulationLoop(seed)
        self.network = Network(self.loop)
        self.server, self.client = self.loop.new_process("server"), self.loop.new_process("client")
        self.received = b""
        self.ends: list[str] = []

    def run(self, work: Callable[["World"], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            self.loop.spawn(self.server, self._serve())
            await pass_time(0.1)
            await self.loop.spawn(self.client, work(self))

        try:
            self.loop.run_until_complete(main())
        finally:
            close(self.loop)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._echo, "server", 80)
        await server.serve_forever()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                self.received += data
                writer.write(data)
            self.ends.append("end")
        except ConnectionError:
            self.ends.append("reset")
        writer.close()


@pytest.mark.parametrize("seed", range(5))
def test_data_arrives_in_order(seed: int) -> None:
    """However it is cut into pieces and delayed, both sides see the same bytes."""
    world, sent = World(seed), b"".join(b"%06d" % number for number in range(200))

    async def work(world: World) -> None:
        reader, writer = await asyncio.open_connection("server", 80)
        for at in range(0, len(sent), 17):
            writer.write(sent[at : at + 17])
            await pass_time(world.loop.random.random() * 0.001)
        assert await reader.readexactly(len(sent)) == sent
        writer.close()
        await pass_time(1)

    world.run(work)
    assert world.received == sent
    assert world.ends == ["end"]


def test_nothing_listens() -> None:
    """A connection to a process that does not listen is refused."""

    async def work(_: World) -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("server", 81)

    World(1).run(work)


def test_a_cut_is_seen_by_both_sides() -> None:
    """Each side gets an error."""
    world = World(1)

    async def work(world: World) -> None:
        reader, _ = await asyncio.open_connection("server", 80)
        await pass_time(1)
        assert world.network.cut(world.client) == 1
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await pass_time(1)

    world.run(work)
    assert world.ends == ["reset"]


def test_the_kernel_closes_the_connections_of_a_killed_process() -> None:
    """The other side sees an end or a reset, and the port is free."""
    world = World(1)

    async def work(world: World) -> None:
        reader, _ = await asyncio.open_connection("server", 80)
        world.loop.kill(world.server)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("server", 80)

    world.run(work)
    assert world.ends == []


def test_a_partition_holds_data_back_until_it_heals() -> None:
    """Nothing is lost, and nothing arrives meanwhile; a new connection waits as well."""
    world = World(1)

    async def work(world: World) -> None:
        reader, writer = await asyncio.open_connection("server", 80)
        world.network.partition("client", "server")
        writer.write(b"hello")
        opening = asyncio.create_task(asyncio.open_connection("server", 80))
        await pass_time(20)
        assert world.received == b""
        assert not opening.done()
        world.network.heal()
        assert await reader.readexactly(5) == b"hello"
        await opening

    world.run(work)


def test_a_frozen_process_keeps_its_connections() -> None:
    """It answers when it goes on."""
    world = World(1)

    async def work(world: World) -> None:
        reader, writer = await asyncio.open_connection("server", 80)
        world.loop.freeze(world.server, 10)
        began = world.loop.now
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert world.loop.now >= began + 9

    world.run(work)
