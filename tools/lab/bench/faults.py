"""One service hangs, or fails every fifth call: the panels that dashboards still have, and their latency."""

import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.gateway.catalog.catalog import packaged
from tools.lab.bench import contestants, wrk
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.contestants import Audience
from tools.lab.bench.report import Report, spread, table
from tools.lab.bench.stub import ERROR_SHARE

PANELS = packaged().panels

NAME = "faults"
CALLERS = 64
SLACK_MS = 25


@dataclass(frozen=True)
class Fault:
    """The behaviour of one service."""

    name: str
    service: str
    mode: str


WELL = Fault("all well", "worker", "well")
FAULTS = (
    WELL,
    Fault("worker hangs", "worker", "hang"),
    Fault("users hangs", "users", "hang"),
    Fault(f"orders fails {ERROR_SHARE:.0%} of its calls", "orders", "errors"),
)


def run(bed: Bed, scale: Scale) -> Report:
    """Measure dashboards under each fault. Each service is a separate stub. The warm-up has stored last known good
    values."""
    audience = Audience()
    services = {name: contestants.stub(bed, audience.jwks, f"stub-{name}") for name in ("users", "orders", "worker")}
    child, url = contestants.our_gateway(bed, services, services["users"])
    requests = audience.with_tokens({"Cache-Control": "no-cache"})
    conditions = Conditions(scale, versions(), f"{CALLERS} callers")
    if scale.warm_up_s:
        wrk.run(url, requests, 16, scale.warm_up_s, every=True)
    found: dict[str, list[wrk.Load]] = {fault.name: [] for fault in FAULTS}
    for _ in range(scale.rounds):
        for fault in FAULTS if not scale.small else FAULTS[1:2]:
            found[fault.name].append(_under(fault, services, url, requests, scale))
    bed.end(child)
    report = Report(NAME)
    report.add(conditions.tell(), _table(found), _targets(found))
    return report


def _under(
    fault: Fault, services: Mapping[str, str], url: str, requests: Sequence[wrk.Request], scale: Scale
) -> wrk.Load:
    """Measure the load during the fault, from its beginning. Afterwards, the service works and the breaker is closed
    again."""
    control(services[fault.service], fault.mode)
    callers = CALLERS if not scale.small else 4
    load = wrk.run(url, requests, callers, scale.window_s, count=[panel.name for panel in PANELS])
    control(services[fault.service], "well")
    if not scale.small:
        wrk.run(url, requests, 4, scale.window_s)
    return load


def control(service: str, mode: str) -> None:
    with urllib.request.urlopen(f"{service}/control/{mode}", timeout=5):  # noqa: S310  a stub of ours
        pass


def _table(found: Mapping[str, Sequence[wrk.Load]]) -> str:
    head = [
        "",
        "dashboards/s",
        "p50 ms",
        "p99 ms",
        "longest ms",
        "failed",
        *(f"{panel.name} fresh" for panel in PANELS),
    ]
    rows = [
        [
            name,
            spread([load.rate for load in loads]).show(),
            spread([load.p50 for load in loads]).show(1),
            spread([load.p99 for load in loads]).show(1),
            spread([load.longest for load in loads]).show(1),
            str(sum(load.failures for load in loads)),
            *(_share(loads, panel.name) for panel in PANELS),
        ]
        for name, loads in found.items()
        if loads
    ]
    return table(head, rows)


def _share(loads: Sequence[wrk.Load], panel: str) -> str:
    """Return the share of all answers in which the panel is fresh."""
    fresh = sum(load.fresh.get(panel, 0) for load in loads)
    return f"{fresh / max(1, sum(load.requests for load in loads)):.1%}"


def _targets(found: Mapping[str, Sequence[wrk.Load]]) -> str:
    said = []
    for fault in FAULTS:
        if fault.mode == "hang" and (loads := found[fault.name]):
            limit = max(panel.timeout_ms for panel in PANELS if panel.service == fault.service) + SLACK_MS
            worst = max(load.p99 for load in loads)
            said.append(f"{fault.name}: worst p99 {worst:.0f} ms, target ≤ {limit} ms, no failure")
    return "; ".join(said) + "."
