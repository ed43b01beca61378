"""What traces cost: CPU of the gateway a dashboard without them, with one in a hundred recorded, and with all."""

from collections.abc import Iterator, Sequence

from services.local.ports import free_port
from tests.bench import contestants
from tests.bench.bed import Bed
from tests.bench.conditions import Conditions, Scale, versions
from tests.bench.contestants import Audience, Served
from tests.bench.cpu import OTHER_CORE
from tests.bench.gateway import FRESH, Windows, measure
from tests.bench.report import Report, ratios, spread, table

NAME = "traces"
SHARES = {"off": None, "1 %": "0.01", "100 %": "1"}
CALLERS = (64,)


def run(bed: Bed, scale: Scale) -> Report:
    """The three take turns, window by window, so that what else the machine does falls on all alike."""
    report = Report(NAME)
    conditions = Conditions(scale, versions("uvicorn", "opentelemetry-sdk"))
    served = list(_start(bed))
    measured = measure(served, scale, CALLERS if not scale.small else (4,))
    report.add(conditions.tell())
    report.add("CPU of the gateway process, µs a dashboard, and its ratio to `off`, round by round:")
    report.add(_table(measured, [one.name for one in served]))
    bed.end(*{one.child.pid: one.child for one in served}.values())
    return report


def _start(bed: Bed) -> Iterator[Served]:
    audience = Audience()
    backend = contestants.stub(bed, audience.jwks)
    port = free_port()
    bed.serving(bed.python("collector", "-m", "tests.bench.collector", str(port), core=OTHER_CORE), port)
    for label, share in SHARES.items():
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "TRACE_SAMPLE": share} if share else {}
        name = f"gateway-{len(told)}-{share}"
        child, url = contestants.our_gateway(bed, contestants.all_at(backend), backend, name, **told)
        yield Served(label, child, url, audience.with_tokens(FRESH))
        yield Served(f"{label}, cached", child, url, audience.with_tokens({}))


def _table(measured: Windows, names: Sequence[str]) -> str:
    rows = []
    for name in names:
        [windows] = [found for (label, _), found in measured.items() if label == name]
        [base] = [found for (label, _), found in measured.items() if label == _base(name)]
        cpu = [window.cpu_us for window in windows]
        ratio = ratios(cpu, [window.cpu_us for window in base])
        rows.append([name, spread(cpu).show(1), ratio.show(3)])
    return table(["recorded", "µs", "ratio"], rows)


def _base(name: str) -> str:
    return "off, cached" if name.endswith(", cached") else "off"
