"""The gateway against its peers: CPU a dashboard, dashboards a second, and how long one takes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import nan

from tests.bench import contestants, cpu, wrk
from tests.bench.bed import Bed
from tests.bench.conditions import Conditions, Scale, version_of, versions
from tests.bench.contestants import BATCHING, CAPTURE, MERGE, PEERS, PLAIN, Audience, Served
from tests.bench.report import Report, ratios, spread, table

NAME = "gateway"
OURS, CACHED, GRANIAN, GRANIAN_CACHED = "ours", "ours, cached", "ours on granian", "ours on granian, cached"
CALLERS = (1, 16, 64, 256)
TARGETS = ((OURS, MERGE, "≤ 0.33"), (OURS, CAPTURE, "≤ 1.0"), (CACHED, OURS, "≤ 0.5"), (GRANIAN, OURS, ""))
LEFT_OUT = "this run is without peers"
FRESH = {"Cache-Control": "no-cache"}


@dataclass(frozen=True)
class Window:
    cpu_us: float
    load: wrk.Load


Windows = Mapping[tuple[str, int], list[Window]]


def run(bed: Bed, scale: Scale) -> Report:
    report = Report(NAME)
    absent = {name: why for name, peer in PEERS.items() if (why := peer.missing() if scale.peers else LEFT_OUT)}
    conditions = Conditions(
        scale,
        versions("fastapi", "uvicorn", "granian", "httpx"),
        *([f"node {version_of('node', '--version')}"] if MERGE not in absent else []),
        *([version_of("/usr/sbin/nginx", "-v")] if CAPTURE not in absent else []),
    )
    served = list(_start(bed, absent))
    measured = measure(served, scale, CALLERS if not scale.small else (4,))
    report.add(conditions.tell(), *_tables(measured))
    report.add(*(f"Not measured: {name}, since {why}." for name, why in absent.items()))
    bed.end(*{one.child.pid: one.child for one in served}.values())
    return report


def measure(served: Sequence[Served], scale: Scale, callers: Sequence[int]) -> Windows:
    """Each of them at each number of callers, one window after the other, again and again."""
    for one in served if scale.warm_up_s else ():
        wrk.run(one.url, one.requests, 16, scale.warm_up_s, every=True)
    windows: dict[tuple[str, int], list[Window]] = defaultdict(list)
    for _, number, one in product(range(scale.rounds), callers, served):
        windows[one.name, number].append(_window(one, number, scale.window_s))
        if not scale.small:
            cpu.until_idle(one.child.pid)  # else the next one pays for what this one's callers left behind
    return windows


def _window(one: Served, callers: int, seconds: float) -> Window:
    before = cpu.seconds([one.child.pid])
    load = wrk.run(one.url, one.requests, callers, seconds)
    used = cpu.seconds([one.child.pid]) - before
    return Window(used / load.requests * 1e6 if load.requests else nan, load)


def _start(bed: Bed, absent: Mapping[str, str]) -> Iterator[Served]:
    audience = Audience()
    backend = contestants.stub(bed, audience.jwks)
    child, url = contestants.our_gateway(bed, contestants.all_at(backend), backend)
    yield Served(OURS, child, url, audience.with_tokens(FRESH))
    yield Served(CACHED, child, url, audience.with_tokens({}))
    child, url = contestants.granian_gateway(bed, backend)
    yield Served(GRANIAN, child, url, audience.with_tokens(FRESH))
    yield Served(GRANIAN_CACHED, child, url, audience.with_tokens({}))
    for name, peer in PEERS.items():
        if name not in absent:
            child, url = peer.start(bed, backend)
            yield Served(name, child, url, audience.plain())


def _tables(measured: Windows) -> Iterator[str]:
    callers = sorted({number for _, number in measured})
    names = list(dict.fromkeys(name for name, _ in measured))
    head = ["", *(f"{number} callers" for number in callers)]

    def rows(figure: str, digits: int) -> list[list[str]]:
        return [[name, *(_show(measured[name, number], figure, digits) for number in callers)] for name in names]

    yield "CPU of the gateway process, µs a dashboard:"
    yield table(head, rows("cpu_us", 0))
    yield "Dashboards a second:"
    yield table(head, rows("rate", 0))
    yield "p50, ms:"
    yield table(head, rows("p50", 1))
    yield "p99, ms:"
    yield table(head, rows("p99", 1))
    yield "Ratios of CPU a dashboard, round by round:"
    yield table([*head, "target at 64"], list(_ratio_rows(measured, callers)))
    failures = {name: sum(w.load.failures for n in callers for w in measured[name, n]) for name in names}
    yield (
        "Failed requests: "
        + (", ".join(f"{name} {count}" for name, count in failures.items() if count) or "none")
        + "."
    )


def _ratio_rows(measured: Windows, callers: Sequence[int]) -> Iterator[list[str]]:
    for ours, theirs, target in (*TARGETS, (OURS, BATCHING, ""), (OURS, PLAIN, "")):
        if any(name == theirs for name, _ in measured):
            found = [
                ratios([w.cpu_us for w in measured[ours, n]], [w.cpu_us for w in measured[theirs, n]]) for n in callers
            ]
            yield [f"{ours} / {theirs}", *(ratio.show(2) for ratio in found), target]


def _show(windows: Sequence[Window], figure: str, digits: int) -> str:
    if not any(window.load.requests for window in windows):
        return "none answered"
    values = [window.cpu_us if figure == "cpu_us" else getattr(window.load, figure) for window in windows]
    return spread(values).show(digits)
