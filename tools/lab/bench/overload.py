"""Overload at a fixed rate, up to three times the gateway's capacity: the effect on accepted requests."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path

from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Child
from tools.lab.bench import contestants, cpu, wrk
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.contestants import Audience
from tools.lab.bench.open_loop import CONNECTIONS, Outcome
from tools.lab.bench.report import Report, spread, table

NAME = "overload"
PATH = "/v1/orders"
"""A route that is passed through to a service, so that shedding a request saves work."""
CALLERS = 32
LOADS = (0.5, 1.0, 2.0, 3.0)
SETTLED_S = 1.0
"""After this time, the start of the load no longer affects the latencies."""
SHEDDING, NOT = "shedding", "no shedding"
VARIANTS: Mapping[str, Mapping[str, str]] = {SHEDDING: {}, NOT: {"GATEWAY_SHED_MOST_IN_HAND": "0"}}


@dataclass(frozen=True)
class Window:
    """The outcome at this share of the capacity, during this many seconds."""

    load: float
    seconds: float
    outcome: Outcome

    def per_s(self, count: int) -> float:
        return count / self.seconds


def run(bed: Bed, scale: Scale) -> Report:
    audience = Audience()
    tokens = bed.folder / "tokens"
    tokens.write_text("\n".join(request.headers["Authorization"].split()[1] for request in audience.with_tokens({})))
    backend = contestants.stub(bed, audience.jwks)
    requests = [wrk.Request(PATH, request.headers) for request in audience.with_tokens({})]
    conditions = Conditions(
        scale,
        versions("uvicorn"),
        f"open loop of one Python process with {CONNECTIONS} connections; GET {PATH} passed on to a stub",
    )
    capacity: list[float] = []
    found: dict[tuple[str, float], list[Window]] = {(name, load): [] for name in VARIANTS for load in LOADS}
    for _ in range(scale.rounds):
        for name, settings in VARIANTS.items():
            child, url = _gateway(bed, backend, settings)
            closed = wrk.run(url, requests, CALLERS, max(1.0, scale.window_s))
            capacity.append(closed.rate)
            for load in LOADS:
                found[name, load].append(_window(url, tokens, load, closed.rate, scale.window_s))
                if not scale.small:
                    cpu.until_idle(child.pid)
            bed.end(child)
    report = Report(NAME)
    report.add(
        conditions.tell(),
        f"Capacity, {CALLERS} callers in a closed loop: {spread(capacity).show()} requests per second.",
    )
    report.add(*_tables(found))
    return report


def _gateway(bed: Bed, backend: str, settings: Mapping[str, str]) -> tuple[Child, str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {**contestants.gateway_environment(bed, port, contestants.all_at(backend), backend), **settings}
    return bed.ready(bed.python("gateway", "-m", "tools.cli.main", "serve", "gateway", env=env), f"{url}/readyz"), url


def _window(url: str, tokens: Path, load: float, capacity: float, seconds: float) -> Window:
    command = [
        sys.executable,
        "-m",
        "tools.lab.bench.open_loop",
        url,
        PATH,
        str(tokens),
        str(load * capacity),
        str(seconds),
    ]
    done = subprocess.run(cpu.pinned(cpu.OTHER_CORE, *command), capture_output=True, text=True, check=True)
    return Window(load, seconds, Outcome(**json.loads(done.stdout)))


def _tables(found: Mapping[tuple[str, float], list[Window]]) -> Iterator[str]:
    head = [
        "",
        "of capacity",
        "accepted/s",
        "p50 ms",
        "p99 ms",
        "p99 ms, settled",
        "refused/s",
        "refused p99 ms",
        "never sent/s",
        "sent late p99 ms",
        "failed",
    ]
    yield table(head, [_row(name, load, windows) for (name, load), windows in found.items()])
    yield (
        f"*Settled*: without the first {SETTLED_S:g} s. *Never sent*: all connections of the load were waiting for an "
        "answer. *Sent late*: by the load itself, and part of every latency."
    )


def _row(name: str, load: float, windows: list[Window]) -> list[str]:
    accepted = [[took for _, took in w.outcome.accepted] for w in windows]
    settled = [[took for due, took in w.outcome.accepted if due >= min(SETTLED_S, w.seconds / 2)] for w in windows]
    return [
        name,
        f"{load:g}",
        spread([w.per_s(len(w.outcome.accepted)) for w in windows]).show(),
        spread([_quantile(each, 0.5) for each in accepted]).show(1),
        spread([_quantile(each, 0.99) for each in accepted]).show(1),
        spread([_quantile(each, 0.99) for each in settled]).show(1),
        spread([w.per_s(len(w.outcome.shed)) for w in windows]).show(),
        spread([_quantile([took for _, took in w.outcome.shed], 0.99) for w in windows]).show(1),
        spread([w.per_s(w.outcome.unsent) for w in windows]).show(),
        spread([_quantile(w.outcome.late, 0.99) for w in windows]).show(1),
        str(sum(w.outcome.failed for w in windows)),
    ]


def _quantile(seconds: list[float], share: float) -> float:
    """Return the quantile in ms."""
    ranked = sorted(seconds)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] * 1000 if ranked else nan
