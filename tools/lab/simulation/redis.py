"""A model of Redis that speaks RESP, so that the real redis-py runs against it unchanged.

It has the commands that the gateway uses, and knows the two Lua scripts by their text; any other command fails and is
noted in `not_modelled`. Data expires by the clock that it is given, and waiting is done by the running loop.

fakeredis has many more commands, but reads the machine's clock, needs an interpreter of Lua for scripts, and its server
for sockets runs in threads.
"""

import asyncio
import time
from collections.abc import Callable
from random import Random

from tools.lab.simulation.resp.commands import Session
from tools.lab.simulation.resp.database import Clock, Database
from tools.lab.simulation.resp.protocol import CommandFailed, NotModelled, encode, encode_error, read_command


class RedisModel:
    """Give `serve` to `asyncio.start_server`, or to the simulated network."""

    def __init__(self, random: Random, clock: Clock | None = None) -> None:
        """`clock` returns Unix seconds, by default the time of day, which is virtual in a simulation."""
        self.not_modelled: list[str] = []
        """Everything that a client has asked for and the model does not have."""
        self._random = random
        self._database = Database(clock or _time_of_day)
        self._scripts: dict[bytes, bytes] = {}
        self._writers: dict[asyncio.StreamWriter, None] = {}
        self._is_running = True
        self._thawed = asyncio.Event()
        self._thawed.set()

    def watch(self, on_replaced: Callable[[bytes, bytes, bytes], None]) -> None:
        """Call this whenever a string replaces another, with its key and both."""
        self._database.on_replaced = on_replaced

    @property
    def connections(self) -> int:
        return len(self._writers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client connection to its end. While the server is stopped it is refused."""
        if not self._is_running:
            writer.transport.abort()
            return
        self._writers[writer] = None
        session = Session(self._database, self._scripts)
        try:
            while writer in self._writers:
                await self._serve_one(session, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.pop(writer, None)
            writer.close()

    def freeze(self) -> None:
        """Answer nothing until `thaw`, as a stopped process does. Connections stay open."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Go on with the commands that have arrived."""
        self._thawed.set()

    def cut_all(self) -> None:
        """Lose all connections."""
        writers, self._writers = list(self._writers), {}
        for writer in writers:
            writer.transport.abort()

    def stop(self) -> None:
        """Crash: all connections, the scripts, and perhaps the changes of the last second are lost."""
        self._is_running = False
        self.cut_all()
        self.thaw()
        self._scripts.clear()
        self._database.crash(self._random)

    def start(self) -> None:
        """Accept connections again."""
        self._is_running = True

    def restart(self) -> None:
        """Crash, and be back at once."""
        self.stop()
        self.start()

    def lose_everything(self) -> None:
        """Restart without any data, as a Redis without a disk does."""
        self.restart()
        self._database.clear()

    async def _serve_one(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name, *arguments = await read_command(reader) or [b""]
        await self._thawed.wait()
        if not name or writer not in self._writers:
            return
        try:
            answer = encode(await session.run(name.decode(errors="replace").upper(), arguments), session.protocol)
        except NotModelled as unknown:
            self.not_modelled.append(str(unknown))
            answer = encode_error(unknown)
        except CommandFailed as failed:
            answer = encode_error(failed)
        await self._thawed.wait()
        if writer in self._writers:
            writer.write(answer)


def _time_of_day() -> float:
    return time.time()  # looked up at each call: a simulation replaces it
