"""Open live streams of one gateway: memory per stream, CPU when idle and when panels change, and the delay of a
change."""

import asyncio
import json
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from math import nan
from statistics import quantiles
from uuid import UUID

import aio_pika
import psutil

from shared.contracts import topology
from tests.support.waiting import eventually
from tools.lab.bench import contestants, cpu
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.contestants import Audience
from tools.lab.bench.report import Report, spread, table

NAME = "streams"
STREAMS = 1000
RATES = (0, 100, 500)
"""Changes per second, each of one panel of one user."""
PATH = "/v1/dashboard/events"
AT_ONCE = 50


class Follower(asyncio.Protocol):
    """One client that records the arrival time of each event."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.BaseTransport | None = None
        self.panels = 0
        self.ready = False
        self.asked_at: float | None = None
        self.waits: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]  # it is one for writing

    def leave(self) -> None:
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self.ready = self.ready or b"event: ready" in data
        if told := data.count(b"event: panel"):
            self.panels += told
            if self.asked_at is not None:
                self.waits.append(time.perf_counter() - self.asked_at)
                self.asked_at = None


@dataclass
class Window:
    """The cost of one rate: `cores` of CPU, and the seconds from a change to its event."""

    cores: float
    told: int
    waits: list[float] = field(default_factory=list)


def run(bed: Bed, scale: Scale) -> Report:
    _allow_files()
    audience = Audience(20 if scale.small else STREAMS)
    conditions = Conditions(scale, versions("uvicorn", "uvloop", "aio-pika"))
    backend = contestants.stub(bed, audience.jwks)
    child, url = contestants.our_gateway(bed, contestants.all_at(backend), backend)
    memory, windows = asyncio.run(_measure(bed, scale, audience, child.pid, url))
    report = Report(NAME)
    report.add(conditions.tell(), *_tables(len(audience.ids), memory, windows))
    bed.end(child)
    return report


def _allow_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _measure(
    bed: Bed, scale: Scale, audience: Audience, pid: int, url: str
) -> tuple[tuple[int, int], dict[int, list[Window]]]:
    gateway = psutil.Process(pid)
    before = gateway.memory_info().rss
    followers = await _open(audience, int(url.rpartition(":")[2]))
    memory = before, gateway.memory_info().rss
    windows: dict[int, list[Window]] = {rate: [] for rate in RATES}
    async with await aio_pika.connect(bed.backends.rabbitmq.url) as connection:
        exchange = await (await connection.channel(publisher_confirms=False)).get_exchange(topology.LIVE)
        pairs = list(zip(audience.ids, followers, strict=True))
        for _ in range(scale.rounds):
            for rate in RATES:
                windows[rate].append(await _window(exchange, pairs, pid, rate, scale.window_s))
    for follower in followers:
        follower.leave()
    return memory, windows


async def _open(audience: Audience, port: int) -> list[Follower]:
    loop = asyncio.get_running_loop()
    followers: list[Follower] = []
    requests = audience.with_tokens({"Host": "bench", "Accept": "text/event-stream"})
    for start in range(0, len(requests), AT_ONCE):
        for request in requests[start : start + AT_ONCE]:
            head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            follower = Follower(f"GET {PATH} HTTP/1.1\r\n{head}\r\n".encode())
            await loop.create_connection(partial(_itself, follower), "127.0.0.1", port)
            followers.append(follower)
        await eventually(lambda: all(follower.ready for follower in followers))
    return followers


def _itself(follower: Follower) -> Follower:
    return follower


async def _window(
    exchange: aio_pika.abc.AbstractExchange,
    pairs: Sequence[tuple[UUID, Follower]],
    pid: int,
    rate: int,
    seconds: float,
) -> Window:
    """Change the `orders` panel of each user in turn, evenly over the window."""
    await _quiet(pairs)
    for _, follower in pairs:
        follower.asked_at = None
        follower.waits.clear()
    told_before = sum(follower.panels for _, follower in pairs)
    used_before, began = cpu.seconds([pid]), time.perf_counter()
    turns = cycle(pairs)
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0, began + number / rate - time.perf_counter()))
        user_id, follower = next(turns)
        if follower.asked_at is None:
            follower.asked_at = time.perf_counter()
        body = json.dumps({"user_id": str(user_id), "panels": ["orders"]}).encode()
        await exchange.publish(aio_pika.Message(body), "hint")
    await asyncio.sleep(max(0, began + seconds - time.perf_counter()))
    cores = (cpu.seconds([pid]) - used_before) / (time.perf_counter() - began)
    await asyncio.sleep(0.3)  # the last events
    told = sum(follower.panels for _, follower in pairs) - told_before
    return Window(cores, told, [wait for _, follower in pairs for wait in follower.waits])


async def _quiet(pairs: Sequence[tuple[UUID, Follower]]) -> None:
    """Wait until no more changes of an earlier window arrive, or for a while."""
    told = -1
    for _ in range(40):
        before, told = told, sum(follower.panels for _, follower in pairs)
        if told == before:
            return
        await asyncio.sleep(0.25)


def _tables(streams: int, memory: tuple[int, int], windows: dict[int, list[Window]]) -> Iterator[str]:
    before, after = memory
    yield (
        f"{streams:,} streams, of as many users, with four panels of 1.2 KB each: {after / 2**20:.0f} MiB of memory"
        f" instead of {before / 2**20:.0f} before, {(after - before) / streams / 1024:.0f} KiB per stream; what the"
        " cache keeps of their panels is in it."
    )
    head = ["changes per second", "CPU, % of a core", "delay, ms p50", "delay, ms p99", "events"]
    yield table(head, [_row(rate, found) for rate, found in windows.items()])


def _row(rate: int, windows: Sequence[Window]) -> list[str]:
    def of(share: int) -> str:
        return spread([_percentile(window.waits, share) * 1000 for window in windows]).show(1)

    cores = spread([window.cores * 100 for window in windows]).show(1)
    return [f"{rate:,}", cores, of(50), of(99), spread([float(window.told) for window in windows]).show()]


def _percentile(values: Sequence[float], share: int) -> float:
    return quantiles(values, n=100)[share - 1] if len(values) > 1 else nan
