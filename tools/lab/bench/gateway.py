"""The gateway against its peers: CPU per dashboard, dashboards per second, and latency."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import nan
from pathlib import Path

from tools.lab.bench import contestants, cpu, wrk
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, version_of, versions
from tools.lab.bench.contestants import AIOHTTP, BATCHING, CAPTURE, MERGE, PEERS, PLAIN, Audience, Served
from tools.lab.bench.report import Report, Spread, ratios, spread, table

NAME = "gateway"
OURS, CACHED, COMPILED, COMPILED_CACHED = "ours", "ours, cached", "ours, compiled", "ours, compiled, cached"
CALLERS = (1, 16, 64, 256)
MOST_CALLERS = max(CALLERS)
WARM_REQUESTS, MOST_WARM_UPS = 5_000, 10
LEFT_OUT = "this run is without peers"
FRESH = {"Cache-Control": "no-cache"}


@dataclass(frozen=True)
class Target:
    """An upper limit for the ratio of two contestants' CPU per dashboard, with this number of callers."""

    ours: str
    theirs: str
    callers: int
    most: float


TARGETS = (
    Target(OURS, CAPTURE, 64, 1.2),
    Target(COMPILED, CAPTURE, 64, 1.0),
    Target(OURS, CAPTURE, 256, 1.0),
    Target(CACHED, CAPTURE, 64, 0.6),
    Target(OURS, MERGE, 64, 0.33),
    Target(OURS, MERGE, 1, 1.3),
    Target(COMPILED, MERGE, 1, 1.0),
    Target(CACHED, MERGE, 1, 0.25),
)
MOST_P50_MS = 100


@dataclass(frozen=True)
class Window:
    cpu_us: float
    load: wrk.Load


Windows = Mapping[tuple[str, int], list[Window]]


def run(bed: Bed, scale: Scale) -> Report:
    report = Report(NAME)
    absent = absent_peers(scale)
    told = conditions(scale, absent)
    served = list(_start(bed, absent, scale.compiled))
    measured = measure(served, scale, CALLERS if not scale.small else (4,))
    report.add(told.tell(), *_tables(measured))
    report.add(*not_measured(absent))
    bed.end(*{one.child.pid: one.child for one in served}.values())
    return report


def absent_peers(scale: Scale) -> dict[str, str]:
    """Return the peers that are missing in this run, each with the reason."""
    return {name: why for name, peer in PEERS.items() if (why := peer.missing() if scale.peers else LEFT_OUT)}


def conditions(scale: Scale, absent: Mapping[str, str], *more: str) -> Conditions:
    return Conditions(
        scale,
        versions("fastapi", "uvicorn", "httpx", "pyqwest", "aiohttp"),
        *([f"node {version_of('node', '--version')}"] if MERGE not in absent else []),
        *([version_of("/usr/sbin/nginx", "-v")] if CAPTURE not in absent else []),
        *more,
    )


def not_measured(absent: Mapping[str, str]) -> Iterator[str]:
    return (f"Not measured: {name}, since {why}." for name, why in absent.items())


def measure(served: Sequence[Served], scale: Scale, callers: Sequence[int]) -> Windows:
    """Measure each contestant with each number of callers, window by window, in several rounds."""
    for one in served if scale.warm_up_s else ():
        warm_up(one, scale)
    windows: dict[tuple[str, int], list[Window]] = defaultdict(list)
    for _, number, one in product(range(scale.rounds), callers, served):
        windows[one.name, number].append(window(one, number, scale))
    return windows


def warm_up(one: Served, scale: Scale) -> None:
    """Send requests until V8 has compiled the code that they run, or for at most `MOST_WARM_UPS` windows."""
    answered = 0
    for _ in range(MOST_WARM_UPS):
        answered += wrk.run(one.url, one.first or one.requests, 16, scale.warm_up_s, every=True).requests
        if answered >= WARM_REQUESTS:
            return


def window(one: Served, callers: int, scale: Scale) -> Window:
    """Measure one window. Then wait until the contestant is idle; otherwise the next window would include leftover
    work."""
    before = cpu.seconds(one.pids)
    load = wrk.run(one.url, one.requests, callers, scale.window_s)
    used = cpu.seconds(one.pids) - before
    if not scale.small:
        cpu.until_idle(one.child.pid)
    return Window(used / load.requests * 1e6 if load.requests else nan, load)


def _start(bed: Bed, absent: Mapping[str, str], compiled: Path | None) -> Iterator[Served]:
    audience = Audience()
    backend = contestants.stub(bed, audience.jwks)
    yield from start_ours(bed, audience, backend, compiled)
    for name, peer in PEERS.items():
        if name not in absent:
            child, url = peer.start(bed, backend)
            yield Served(name, child, url, audience.plain())


def start_ours(bed: Bed, audience: Audience, backend: str, compiled: Path | None) -> Iterator[Served]:
    """Start our gateway, and the compiled one if there is one, each with and without its cache."""
    trees = {(OURS, CACHED): None, **({(COMPILED, COMPILED_CACHED): compiled} if compiled else {})}
    for (fresh, cached), tree in trees.items():
        child, url = contestants.our_gateway(bed, contestants.all_at(backend), backend, tree)
        yield Served(fresh, child, url, audience.with_tokens(FRESH))
        yield Served(cached, child, url, audience.with_tokens({}))


def _tables(measured: Windows) -> Iterator[str]:
    callers = sorted({number for _, number in measured})
    names = list(dict.fromkeys(name for name, _ in measured))
    head = ["", *(f"{number} caller{'s' * (number > 1)}" for number in callers)]

    def rows(figure: str, digits: int) -> list[list[str]]:
        return [[name, *(show(measured[name, number], figure, digits) for number in callers)] for name in names]

    yield "Targets, as ratios of CPU per dashboard, round by round:"
    yield table(["", "callers", "measured", "target"], [*target_rows(measured, TARGETS), *_load_rows(measured)])
    yield "CPU of the gateway process, µs per dashboard:"
    yield table(head, rows("cpu_us", 0))
    yield "Dashboards per second:"
    yield table(head, rows("rate", 0))
    yield "p50, ms:"
    yield table(head, rows("p50", 1))
    yield "p99, ms:"
    yield table(head, rows("p99", 1))
    yield "Ratios of CPU per dashboard, round by round:"
    ours = [name for name in (OURS, CACHED, COMPILED, COMPILED_CACHED) if name in names]
    peers = [name for name in (CAPTURE, MERGE, BATCHING, AIOHTTP, PLAIN) if name in names]
    yield table(head, list(ratio_rows(measured, callers, product(ours, peers))))
    yield failures({name: [w for n in callers for w in measured[name, n]] for name in names})


def target_rows(measured: Windows, targets: Iterable[Target]) -> Iterator[list[str]]:
    for target in targets:
        ours, theirs = measured.get((target.ours, target.callers)), measured.get((target.theirs, target.callers))
        if ours and theirs:
            found = cpu_ratio(ours, theirs).show(2)
            yield [f"{target.ours} / {target.theirs}", str(target.callers), found, f"≤ {target.most:g}"]


def _load_rows(measured: Windows) -> Iterator[list[str]]:
    if full := measured.get((OURS, MOST_CALLERS)):
        refused = sum(one.load.refused for one in full)
        yield [f"{OURS}: refused requests", str(MOST_CALLERS), str(refused), "0"]
        yield [f"{OURS}: p50, ms", str(MOST_CALLERS), show(full, "p50", 1), f"≤ {MOST_P50_MS}"]


def ratio_rows(measured: Windows, callers: Sequence[int], pairs: Iterable[tuple[str, str]]) -> Iterator[list[str]]:
    for our, their in pairs:
        yield [f"{our} / {their}", *(cpu_ratio(measured[our, n], measured[their, n]).show(2) for n in callers)]


def cpu_ratio(ours: Sequence[Window], theirs: Sequence[Window]) -> Spread:
    """Return the ratio of the CPU per dashboard, round by round."""
    return ratios([one.cpu_us for one in ours], [one.cpu_us for one in theirs])


def failures(measured: Mapping[str, Sequence[Window]]) -> str:
    counts = {name: sum(one.load.failures for one in windows) for name, windows in measured.items()}
    return "Failed requests: " + (", ".join(f"{name} {n}" for name, n in counts.items() if n) or "none") + "."


def show(windows: Sequence[Window], figure: str, digits: int) -> str:
    """Return the median and range of one figure of a window or of its load."""
    if not any(window.load.requests for window in windows):
        return "none answered"
    values = [window.cpu_us if figure == "cpu_us" else getattr(window.load, figure) for window in windows]
    return spread(values).show(digits)
