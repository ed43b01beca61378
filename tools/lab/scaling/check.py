"""Compares the simulation with a real gateway process: the latency of requests at a fixed rate."""

from tools.lab.bench import contestants, cpu, wrk
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.contestants import Audience
from tools.lab.bench.overload import CALLERS, PATH, _gateway, _quantile, _window
from tools.lab.bench.report import Report, spread, table
from tools.lab.scaling.stations import one_station, quantile

LOADS = (0.3, 0.5, 0.7)
PARTS = (0.5, 0.9, 0.99)


def run(bed: Bed, scale: Scale) -> Report:
    """A request that is passed through to a stub uses the gateway for the time that the closed loop measures."""
    audience = Audience()
    tokens = bed.folder / "tokens"
    tokens.write_text("\n".join(request.headers["Authorization"].split()[1] for request in audience.with_tokens({})))
    requests = [wrk.Request(PATH, request.headers) for request in audience.with_tokens({})]
    conditions = Conditions(scale, versions("uvicorn"), "the gateway has a core, load and stub share the other")
    capacity: list[float] = []
    stays: dict[float, list[list[float]]] = {load: [] for load in LOADS}
    child, url = _gateway(bed, contestants.stub(bed, audience.jwks), {})
    for _ in range(scale.rounds):
        capacity.append(wrk.run(url, requests, CALLERS, max(1.0, scale.window_s)).rate)
        for load in LOADS:
            cpu.until_idle(child.pid)
            answered = _window(url, tokens, load, capacity[-1], scale.window_s).outcome.accepted
            stays[load].append([took for _, took in answered])
    bed.end(child)
    service = 1 / spread(capacity).median
    found = f"Capacity in a closed loop: {spread(capacity).show()} requests per second, {service * 1000:.2f} ms each."
    return Report("check", [conditions.tell(), found, _table(stays, service)])


def _table(stays: dict[float, list[list[float]]], service: float) -> str:
    rows = []
    for load, windows in stays.items():
        simulated = [visit.took_s for visit in one_station(load, 1, service, shared=True)]
        for part in PARTS:
            real = spread([_quantile(window, part) for window in windows])
            rows.append([f"{load:.0%}", f"p{part * 100:.0f}", real.show(1), f"{quantile(simulated, part) * 1000:.1f}"])
    return table(["busy", "", "gateway, ms", "simulated, ms"], rows)
