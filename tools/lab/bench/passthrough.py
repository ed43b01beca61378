"""Requests that the gateway passes through, against reverse proxies: CPU per request, and requests per second."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from json import dumps
from pathlib import Path
from uuid import uuid4

from tools.devstack.system.processes import Child
from tools.lab.bench import contestants, cpu, wrk
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, version_of, versions
from tools.lab.bench.contestants import Audience, needs_node, nginx_binary
from tools.lab.bench.report import Report, ratios, spread, table

NAME = "passthrough"
OURS, PROXY, FASTIFY = "ours", "nginx, proxy_pass", "Fastify + undici, stream"
CALLERS = (1, 64)
PROXY_CONF = Path("tools/lab/bench/peers/proxy.conf")
BODY = dumps({"items": [{"sku": "SKU-1", "name": "x" * 940, "quantity": 2, "unit_price": 2499}]}, separators=(",", ":"))
JSON = {"Content-Type": "application/json"}
SHAPES = {
    "GET 300 B": wrk.Request(f"/v1/orders/{uuid4()}", {}),
    "GET 50 KB": wrk.Request("/v1/notifications", {}),
    "POST 1 KB": wrk.Request("/v1/orders", JSON, "POST", BODY),
}


@dataclass(frozen=True)
class Window:
    cpu_us: float
    load: wrk.Load


@dataclass(frozen=True)
class Proxy:
    """A process that passes requests through to a service."""

    child: Child
    url: str


Windows = Mapping[tuple[str, str, int], list[Window]]
Start = Callable[[], tuple[Child, str]]


def run(bed: Bed, scale: Scale) -> Report:
    audience = Audience()
    backend = contestants.stub(bed, audience.jwks)
    binary = nginx_binary()
    absent = {FASTIFY: needs_node(), PROXY: None if binary else "nginx is not installed"}
    absent = {name: why if scale.peers else "this run is without peers" for name, why in absent.items()}
    conditions = Conditions(
        scale,
        versions("fastapi", "uvicorn", "httpx", "pyqwest"),
        *([f"node {version_of('node', '--version')}"] if not absent[FASTIFY] else []),
        *([version_of(binary, "-v")] if binary and not absent[PROXY] else []),
    )
    proxies = {name: Proxy(*start()) for name, start in _starts(bed, backend).items() if not absent.get(name)}
    measured = measure(proxies, audience, scale)
    report = Report(NAME)
    report.add(conditions.tell(), *_tables(measured))
    report.add(*(f"Not measured: {name}, since {why}." for name, why in absent.items() if why))
    bed.end(*(proxy.child for proxy in proxies.values()))
    return report


def measure(proxies: Mapping[str, Proxy], audience: Audience, scale: Scale) -> Windows:
    """Measure every proxy with every shape of request and number of callers, window by window, in several rounds."""
    requests = {shape: of_all_users(audience, request) for shape, request in SHAPES.items()}
    windows: dict[tuple[str, str, int], list[Window]] = defaultdict(list)
    for proxy in proxies.values() if scale.warm_up_s else ():
        wrk.run(proxy.url, requests["GET 300 B"], 16, scale.warm_up_s, every=True)
    callers = (4,) if scale.small else CALLERS
    for _, number, shape, name in product(range(scale.rounds), callers, SHAPES, proxies):
        windows[name, shape, number].append(_window(proxies[name], requests[shape], number, scale))
    return windows


def of_all_users(audience: Audience, request: wrk.Request) -> list[wrk.Request]:
    """Return the same request from each user; the peers ignore the token."""
    return [replace(request, headers={**request.headers, **each.headers}) for each in audience.with_tokens({})]


def _starts(bed: Bed, backend: str) -> dict[str, Start]:
    return {
        OURS: lambda: contestants.our_gateway(bed, contestants.all_at(backend), backend),
        FASTIFY: lambda: contestants.fastify("proxy")(bed, backend),
        PROXY: lambda: contestants.nginx(bed, backend, PROXY_CONF),
    }


def _window(proxy: Proxy, requests: Sequence[wrk.Request], callers: int, scale: Scale) -> Window:
    before = cpu.seconds([proxy.child.pid])
    load = wrk.run(proxy.url, requests, callers, scale.window_s)
    used = cpu.seconds([proxy.child.pid]) - before
    if not scale.small:
        cpu.until_idle(proxy.child.pid)
    return Window(used / load.requests * 1e6 if load.requests else float("nan"), load)


def _tables(measured: Windows) -> Iterator[str]:
    columns = list(dict.fromkeys((number, shape) for _, shape, number in measured))
    names = list(dict.fromkeys(name for name, _, _ in measured))
    head = ["", *(f"{shape}, {number} callers" for number, shape in columns)]

    def rows(figure: Callable[[Window], float]) -> list[list[str]]:
        return [
            [name, *(spread([figure(w) for w in measured[name, shape, number]]).show() for number, shape in columns)]
            for name in names
        ]

    yield "CPU of the proxy process, µs per request:"
    yield table(head, rows(lambda window: window.cpu_us))
    yield "Requests per second:"
    yield table(head, rows(lambda window: window.load.rate))
    if len(names) > 1:
        yield "Ratios of CPU per request, round by round:"
        yield table(head, [_ratio_row(measured, name, columns) for name in names[1:]])
    failed = {
        name: sum(w.load.failures for shape in SHAPES for n in _callers(measured) for w in measured[name, shape, n])
        for name in names
    }
    yield f"Failed requests: {', '.join(f'{name} {count}' for name, count in failed.items() if count) or 'none'}."


def _callers(measured: Windows) -> set[int]:
    return {number for _, _, number in measured}


def _ratio_row(measured: Windows, name: str, columns: Sequence[tuple[int, str]]) -> list[str]:
    def ratio(shape: str, number: int) -> str:
        ours, theirs = ([w.cpu_us for w in measured[each, shape, number]] for each in (OURS, name))
        return ratios(ours, theirs).show(2)

    return [f"{OURS} / {name}", *(ratio(shape, number) for number, shape in columns)]
