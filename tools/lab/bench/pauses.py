"""Pauses of the gateway's event loop, by cause."""

import json
import signal
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from tests.support.waiting import wait_until
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Child
from tools.lab.bench import contestants, wrk
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.contestants import Audience
from tools.lab.bench.report import Report, table

NAME = "pauses"
ONE_CALLER = "1 caller"
MANY_USERS, SMALL_USERS = 10_000, 50
COLLECTION, OFF_CPU, SCRAPE = "garbage collection, generation {}", "not on the CPU", "metrics scrape"
ALWAYS = (*map(COLLECTION.format, range(3)), "write-behind", "RequestLog.write", "limits", SCRAPE)
"""Causes that are always shown, however short: names of the gateway's tasks, or of functions."""
CONTROL = "control"
"""A callback of the benchmark itself."""
SHOWN = 5
"""The number of other causes that are shown, longest first."""
SCRAPE_EVERY_S = 1.0
MOST_MS = 5
WINDOWS = 2.5
"""Windows per window of the scale, because pauses are rare."""


@dataclass(frozen=True)
class Cause:
    """How often a cause occurred, and its durations in ms."""

    count: int
    longest: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Cause":
        ranked = sorted(seconds)
        return cls(len(ranked), ranked[-1] * 1000, ranked[ceil(0.99 * len(ranked)) - 1] * 1000)

    def __add__(self, other: "Cause") -> "Cause":
        """Combine two windows; keep the higher p99."""
        return Cause(self.count + other.count, max(self.longest, other.longest), max(self.p99, other.p99))


NEVER = Cause(0, 0.0, 0.0)
Causes = dict[str, Cause]


def run(bed: Bed, scale: Scale) -> Report:
    report = Report(NAME)
    conditions = Conditions(scale, versions("uvloop"), f"here a window is {WINDOWS * scale.window_s:g} s; cached")
    known, others = Audience(), Audience(SMALL_USERS if scale.small else MANY_USERS)
    situations = _situations(known, others, scale)
    with _gateway(bed, known) as gateway:
        if scale.warm_up_s:
            wrk.run(gateway.url, known.with_tokens({}), 16, scale.warm_up_s, every=True)
        for _ in range(scale.rounds):
            for one in situations:
                one.measure(gateway, WINDOWS * scale.window_s)
    report.add(conditions.tell(), *_tables(situations))
    return report


@dataclass(frozen=True)
class Gateway:
    child: Child
    url: str
    found: Path

    def take(self) -> Causes:
        """Return the durations recorded since the last call."""
        self.found.unlink(missing_ok=True)
        self.child.identity.signal(signal.SIGUSR1)
        wait_until(self.found.exists, within=60)
        return {cause: Cause(**told) for cause, told in json.loads(self.found.read_text()).items()}


@dataclass
class Situation:
    """The load, and its results so far; `slowest` is the longest response time in ms."""

    name: str
    callers: int
    requests: Sequence[wrk.Request]
    causes: Causes = field(default_factory=dict)
    slowest: float = 0.0

    def measure(self, gateway: Gateway, seconds: float) -> None:
        gateway.take()
        load = wrk.run(gateway.url, self.requests, self.callers, seconds)
        self.slowest = max(self.slowest, load.longest)
        for name, cause in gateway.take().items():
            self.causes[name] = self.causes.get(name, NEVER) + cause


def _situations(known: Audience, others: Audience, scale: Scale) -> list[Situation]:
    one = Situation(ONE_CALLER, 1, known.with_tokens({}))
    many = Situation("64 callers", 64, known.with_tokens({}))
    unknown = Situation(f"64 callers, {MANY_USERS:,} users, unknown at first", 64, others.with_tokens({}))
    return [one] if scale.small else [one, many, unknown]


@contextmanager
def _gateway(bed: Bed, audience: Audience) -> Iterator[Gateway]:
    """Run a gateway that records, and scrape its metrics regularly."""
    port, found = free_port(), bed.folder / "pauses.json"
    backend = contestants.stub(bed, audience.jwks)
    env = contestants.gateway_environment(bed, port, contestants.all_at(backend), backend)
    url = f"http://127.0.0.1:{port}"
    child = bed.ready(
        bed.python("paused", "-m", "tools.lab.bench.paused_gateway", str(found), env=env), f"{url}/readyz"
    )
    with _scraped(f"http://127.0.0.1:{env['GATEWAY_INTERNAL_PORT']}/metrics"):
        yield Gateway(child, url, found)
    bed.end(child)


@contextmanager
def _scraped(url: str) -> Iterator[None]:
    """Scrape the metrics at the URL regularly."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(SCRAPE_EVERY_S):
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  a gateway of ours
                answer.read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tables(situations: Sequence[Situation]) -> Iterator[str]:
    yield "CPU time of the loop's thread in one callback or one collection."
    for one in situations:
        yield f"{one.name}:"
        yield table(["cause", "count", "longest ms", "p99 ms"], list(_rows(one.causes)))
        name, worst = longest(one.causes)
        target = f", target ≤ {MOST_MS} ms" if one.name == ONE_CALLER else ""
        yield (
            f"Longest pause of the process itself: {worst.longest:.1f} ms ({name}){target}. "
            "Longest response time for the load,"
            f" waiting and other processes included: {one.slowest:.1f} ms."
        )


def longest(causes: Causes) -> tuple[str, Cause]:
    """Return the cause of the longest pause that the process itself caused."""
    own = [(name, one) for name, one in causes.items() if name not in (CONTROL, OFF_CPU)]
    return max(own, key=lambda found: found[1].longest)


def _rows(causes: Causes) -> Iterator[list[str]]:
    others = [name for name in causes if name not in (*ALWAYS, CONTROL, OFF_CPU)]
    others.sort(key=lambda name: causes[name].longest, reverse=True)
    for name in (*ALWAYS, *others[:SHOWN], CONTROL, OFF_CPU):
        one = causes.get(name, NEVER)
        yield [name, f"{one.count:,}", f"{one.longest:.1f}", f"{one.p99:.2f}"]
