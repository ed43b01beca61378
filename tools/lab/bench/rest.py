"""REST panels, one GET for each panel and user, against gateways that do the same: CPU per dashboard."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from tools.lab.bench import contestants, gateway
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Scale
from tools.lab.bench.contestants import AIOHTTP, CAPTURE, MERGE, PEERS, PLAIN, Audience, Served
from tools.lab.bench.gateway import FRESH, Target, Windows
from tools.lab.bench.report import Report, table

NAME = "rest"
OURS, CACHED = "REST panels", "REST panels, cached"
BATCH, BATCH_CACHED = "batch panels", "batch panels, cached"
THEIRS = (CAPTURE, MERGE, AIOHTTP, PLAIN)
CALLERS = (1, 64)
PANELS = Path(__file__).with_name("rest_panels.toml")
TARGETS = (
    Target(OURS, CAPTURE, 64, 3.0),
    Target(CACHED, CAPTURE, 64, 0.6),
    Target(CACHED, BATCH_CACHED, 64, 1.0),
)


def run(bed: Bed, scale: Scale) -> Report:
    absent = {name: why for name, why in gateway.absent_peers(scale).items() if name in THEIRS}
    told = gateway.conditions(scale, absent)
    served = list(_start(bed, absent))
    measured = gateway.measure(served, scale, CALLERS if not scale.small else (4,))
    report = Report(NAME)
    report.add(told.tell(), *_tables(measured))
    report.add(*gateway.not_measured(absent))
    bed.end(*{one.child.pid: one.child for one in served}.values())
    return report


def _start(bed: Bed, absent: dict[str, str]) -> Iterator[Served]:
    """Start our gateway with REST panels, the same with its own batch panels, and the peers."""
    audience = Audience()
    backend = contestants.stub(bed, audience.jwks)
    rest, url = contestants.our_gateway(bed, {"stub": backend}, backend, panels=PANELS)
    yield Served(OURS, rest, url, audience.with_tokens(FRESH))
    yield Served(CACHED, rest, url, audience.with_tokens({}))
    batch, url = contestants.our_gateway(bed, contestants.all_at(backend), backend)
    yield Served(BATCH, batch, url, audience.with_tokens(FRESH))
    yield Served(BATCH_CACHED, batch, url, audience.with_tokens({}))
    for name in THEIRS:
        if name not in absent:
            peer, url = PEERS[name].start(bed, backend)
            yield Served(name, peer, url, audience.plain())


def _tables(measured: Windows) -> Iterator[str]:
    callers = sorted({number for _, number in measured})
    names = list(dict.fromkeys(name for name, _ in measured))
    head = ["", *(f"{number} caller{'s' * (number > 1)}" for number in callers)]
    peers = [name for name in THEIRS if name in names]
    pairs = [(OURS, BATCH), (CACHED, BATCH_CACHED), *product((OURS, CACHED), peers)]
    yield "Targets, as ratios of CPU per dashboard, round by round:"
    yield table(["", "callers", "measured", "target"], list(gateway.target_rows(measured, TARGETS)))
    for title, figure, digits in (
        ("CPU of the gateway's processes, µs per dashboard:", "cpu_us", 0),
        ("Dashboards per second:", "rate", 0),
        ("p99, ms:", "p99", 1),
    ):
        yield title
        yield table(
            head, [[name, *(gateway.show(measured[name, n], figure, digits) for n in callers)] for name in names]
        )
    yield "Ratios of CPU per dashboard, round by round:"
    yield table(head, list(gateway.ratio_rows(measured, callers, pairs)))
    yield gateway.failures({name: [w for n in callers for w in measured[name, n]] for name in names})
