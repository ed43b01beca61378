"""The network between simulated processes: TCP connections in memory, with latency, cuts and partitions from the seed.

Bytes arrive in order, in pieces of any size, and never get lost while the connection lasts. Between two processes that
are partitioned nothing arrives: neither data nor the end of a connection, until the partition heals.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from tools.lab.simulation.machine.loop import Process, SimulationLoop, current_process

FAST_S, SLOW_S, SLOW_SHARE = 0.0005, 0.02, 0.02
"""Most pieces of data take up to `FAST_S`; this share of them takes up to `SLOW_S`."""
SPLIT_SHARE = 0.05
"""The share of writes that arrive in two pieces."""
GIVES_UP_S = 60.0
"""After this time without an answer the kernel gives up a connection."""

_END = b""


class _Socket:
    """What libraries ask of a socket that has no file."""

    family, type, proto = 2, 1, 6

    def setsockopt(self, *_: object) -> None: ...

    def getsockopt(self, *_: object) -> int:
        return 0

    def fileno(self) -> int:
        return -1

    def getpeername(self) -> tuple[str, int]:
        return "10.0.0.1", 0

    getsockname = getpeername


class Endpoint(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, network: "Network", process: Process, address: tuple[str, int]) -> None:
        super().__init__({"peername": address, "sockname": (process.name, 0), "socket": _Socket()})
        self._network = network
        self.process = process
        self.peer: Endpoint
        self.protocol: asyncio.Protocol
        self.context = process.context.copy()
        self._inbox: deque[bytes | Exception] = deque()
        self._paused: list[bytes | Exception] = []
        self._reads = True
        self.is_open = True
        self._is_closing = False
        self._has_sent_end = False
        process.closing.append(self.vanish)

    # -- the transport, as protocols see it

    def write(self, data: Any) -> None:
        if self.is_open and not self._is_closing and not self._has_sent_end and data:
            self._network.send(self, bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self.is_open and not self._has_sent_end:
            self._has_sent_end = True
            self._network.send(self, _END)

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.write_eof()
            self._network.loop.call_soon(self._lost, None, context=self.context)

    def abort(self) -> None:
        self._is_closing = True
        if self.is_open and not self._has_sent_end:
            self._has_sent_end = True
            self._network.send(self, ConnectionResetError("connection reset by peer"))
        self._network.loop.call_soon(self._lost, None, context=self.context)

    def is_closing(self) -> bool:
        return self._is_closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def is_reading(self) -> bool:
        return self._reads

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True
        self._network.loop.call_soon(self._read_on, context=self.context)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered here."""

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 65536

    # -- the network

    def post(self, data: bytes | Exception, delay_s: float) -> None:
        """Let data, the end, or an error arrive here after all that was posted before."""
        self._inbox.append(data)
        self._network.loop.call_later(delay_s, self.arrive, context=self.context)

    def arrive(self) -> None:
        """Receive the next of what was posted, unless a partition holds it back."""
        if self._network.is_cut(self.process, self.peer.process):
            self._network.hold(self)
            return
        if not self._inbox:
            return
        data = self._inbox.popleft()
        if self._reads:
            self._receive(data)
        else:
            self._paused.append(data)

    def _read_on(self) -> None:
        while self._paused and self._reads:
            self._receive(self._paused.pop(0))

    def _receive(self, data: bytes | Exception) -> None:
        if not self.is_open:
            return
        if isinstance(data, Exception):
            self._is_closing = True
            self._lost(data)
        elif data == _END:
            if not self.protocol.eof_received():
                self.close()
        else:
            self.protocol.data_received(data)

    def _lost(self, error: Exception | None) -> None:
        if self.is_open:
            self.is_open = False
            self._forget()
            self.protocol.connection_lost(error)

    def _forget(self) -> None:
        if self.vanish in self.process.closing:
            self.process.closing.remove(self.vanish)

    def vanish(self) -> None:
        """The process was killed: its kernel closes the connection."""
        if self.is_open:
            self.is_open, self._is_closing = False, True
            if not self._has_sent_end:
                ends: list[bytes | Exception] = [_END, ConnectionResetError("connection reset by peer")]
                self._network.send(self, self._network.loop.random.choice(ends))

    def cut(self) -> None:
        """Break the connection, and notify both ends."""
        for end in (self, self.peer):
            if end.is_open:
                end.post(ConnectionResetError("connection cut"), self._network.latency())


class Listener(asyncio.AbstractServer):
    """A listening socket of a process."""

    def __init__(
        self, network: "Network", process: Process, factory: Callable[[], Any], address: tuple[str, int]
    ) -> None:
        self.process = process
        self.factory = factory
        self.address = address
        self.sockets: tuple[Any, ...] = ()
        self._network = network
        process.closing.append(self.close)

    def close(self) -> None:
        if self._network.listeners.get(self.address) is self:
            del self._network.listeners[self.address]

    def is_serving(self) -> bool:
        return self._network.listeners.get(self.address) is self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop

    async def start_serving(self) -> None: ...

    async def serve_forever(self) -> None:
        await self._network.loop.create_future()

    async def wait_closed(self) -> None: ...


class Network:
    """`slowness` multiplies latencies; 1 in calm times."""

    def __init__(self, loop: SimulationLoop) -> None:
        self.loop = loop
        loop.network = self
        self.listeners: dict[tuple[str, int], Listener] = {}
        self.endpoints: list[Endpoint] = []
        self.slowness = 1.0
        self.to_postgres: Callable[[Callable[[], Any], str], Any] | None = None
        self._partitions: set[frozenset[str]] = set()
        self._held: list[Endpoint] = []

    # -- what the loop asks for

    def listen(self, factory: Callable[[], Any], host: str, port: int) -> Listener:
        address = host, port
        if address in self.listeners:
            raise OSError(98, f"address already in use: {address}")
        listener = self.listeners[address] = Listener(self, current_process.get(), factory, address)
        return listener

    async def connect(self, factory: Callable[[], Any], host: str, port: int) -> tuple[Endpoint, Any]:
        """Raises `OSError` if nothing listens there, or if the other side cannot be reached for long."""
        process = current_process.get()
        address = host, port
        waited = 0.0
        await asyncio.sleep(self.latency())
        while (listener := self.listeners.get(address)) and self.is_cut(process, listener.process):
            if waited > GIVES_UP_S:
                raise OSError(110, f"connection timed out: {address}")
            waited += 1
            await asyncio.sleep(1)
        if listener is None:
            raise ConnectionRefusedError(111, f"connection refused: {address}")
        near, far = Endpoint(self, process, address), Endpoint(self, listener.process, (process.name, 0))
        near.peer, far.peer = far, near
        near.protocol, far.protocol = factory(), listener.factory()
        self.endpoints = [each for each in self.endpoints if each.is_open]
        self.endpoints += [near, far]
        self.loop.call_soon(self._accept, far, context=far.context)
        near.protocol.connection_made(near)
        await asyncio.sleep(self.latency())
        return near, near.protocol

    async def connect_to_postgres(self, factory: Callable[[], Any], path: str) -> Any:
        if self.to_postgres is None:
            raise FileNotFoundError(path)
        await asyncio.sleep(self.latency())
        return self.to_postgres(factory, path)

    @staticmethod
    def _accept(far: Endpoint) -> None:
        far.protocol.connection_made(far)

    # -- data

    def latency(self) -> float:
        limit = SLOW_S if self.loop.random.random() < SLOW_SHARE else FAST_S
        return self.loop.random.random() * limit * self.slowness

    def send(self, near: Endpoint, data: bytes | Exception) -> None:
        far = near.peer
        if not far.is_open or not far.process.is_alive:
            return
        if isinstance(data, bytes) and len(data) > 1 and self.loop.random.random() < SPLIT_SHARE:
            at = self.loop.random.randrange(1, len(data))
            far.post(data[:at], self.latency())
            data = data[at:]
        far.post(data, self.latency())

    # -- faults

    def cut(self, one: Process | None = None) -> int:
        """Break a random connection, of one process or of any. Returns how many were broken."""
        open_ = [each for each in self.endpoints if each.is_open and (one is None or each.process is one)]
        if not open_:
            return 0
        self.loop.random.choice(open_).cut()
        return 1

    def partition(self, one: str, other: str) -> None:
        """Let nothing arrive between two processes, by their names, until `heal`."""
        self._partitions.add(frozenset((one, other)))

    def heal(self) -> None:
        """End all partitions: what was held back arrives."""
        self._partitions.clear()
        held, self._held = self._held, []
        for endpoint in held:
            self.loop.call_later(self.latency(), endpoint.arrive, context=endpoint.context)

    def is_cut(self, one: Process, other: Process) -> bool:
        return bool(self._partitions) and frozenset((one.name, other.name)) in self._partitions

    def hold(self, endpoint: Endpoint) -> None:
        self._held.append(endpoint)
