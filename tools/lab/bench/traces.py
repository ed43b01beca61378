"""The cost of traces: CPU per dashboard of the gateway without traces, with one in a hundred recorded, and with all."""

import json
from collections.abc import Mapping, Sequence

from tests.support.waiting import wait_until
from tools.devstack.system.ports import free_port
from tools.lab.bench import contestants
from tools.lab.bench.bed import Bed, DidNotStart
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.contestants import Audience
from tools.lab.bench.cpu import OTHER_CORE
from tools.lab.bench.report import Report, ratios, spread, table

NAME = "traces"
COUNT = 2560
"""Consecutive dashboards: about one second's worth, which is the interval in which spans are sent."""
ROUNDS = 3
"""Rounds per round of the scale, because they are short."""


def run(bed: Bed, scale: Scale) -> Report:
    report = Report(NAME)
    rounds, count = (1, 64) if scale.small else (scale.rounds * ROUNDS, COUNT)
    told = f"a window is {count:,} dashboards, 64 at a time"
    conditions = Conditions(Scale(1, rounds), told, versions("uvloop", "opentelemetry-sdk", "protobuf"))
    found = _measure(bed, rounds, count)
    failed = len(found.pop("failed"))
    report.add(conditions.tell(), "CPU of the gateway, µs per dashboard, and its ratio to `off`, round by round:")
    report.add(_table(found), f"Failed requests: {failed}.")
    return report


def _measure(bed: Bed, rounds: int, count: int) -> dict[str, Sequence[float]]:
    audience = Audience()
    tokens = bed.folder / "tokens"
    tokens.write_text("\n".join(request.headers["Authorization"].split()[1] for request in audience.with_tokens({})))
    backend = contestants.stub(bed, audience.jwks)
    port = free_port()
    bed.serving(bed.python("collector", "-m", "tools.lab.bench.collector", str(port), core=OTHER_CORE), port)
    env = contestants.gateway_environment(bed, free_port(), contestants.all_at(backend), backend)
    found = bed.folder / "found.json"
    told = [f"http://127.0.0.1:{port}", str(tokens), str(rounds), str(count), str(found)]
    child = bed.python("traced", "-m", "tools.lab.bench.traced_gateway", *told, env=env)
    wait_until(lambda: not child.alive(), within=1800)
    if not found.exists():
        raise DidNotStart(child.log.read_text()[-2000:])
    measured: dict[str, Sequence[float]] = json.loads(found.read_text())
    return measured


def _table(found: Mapping[str, Sequence[float]]) -> str:
    rows = []
    for name, cpu in found.items():
        base = found["off, cached" if name.endswith(", cached") else "off"]
        lowest = f"{min(cpu):.1f}"
        rows.append([name, lowest, spread(cpu).show(1), f"{min(cpu) / min(base):.3f}", ratios(cpu, base).show(3)])
    return table(["recorded", "lowest µs", "µs", "ratio of the lowest", "ratio"], rows)
