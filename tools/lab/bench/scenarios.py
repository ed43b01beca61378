"""The gateway and its peers with less uniform requests: many users, large panels, request ids, and TLS."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

import trustme

from tools.lab.bench import contestants, wrk
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Scale
from tools.lab.bench.contestants import BATCHING, CAPTURE, MERGE, PEERS, Audience, Served
from tools.lab.bench.gateway import (
    CACHED,
    OURS,
    Window,
    absent_peers,
    conditions,
    cpu_ratio,
    failures,
    not_measured,
    show,
    start_ours,
    warm_up,
    window,
)
from tools.lab.bench.report import Report, table

NAME = "scenarios"
CALLERS, SMALL_CALLERS = 64, 4
MANY_USERS, SMALL_USERS = 10_000, 50
WITH = (MERGE, BATCHING, CAPTURE)
RATIOS = ((OURS, CAPTURE), (CACHED, CAPTURE), (OURS, MERGE), (CACHED, MERGE))
AS_EVER = "500 users, 1.2 KB"
Found = dict[str, dict[str, list[Window]]]
"""The windows by scenario and contestant."""


def run(bed: Bed, scale: Scale) -> Report:
    report = Report(NAME)
    absent = {name: why for name, why in absent_peers(scale).items() if name in WITH}
    told = conditions(scale, absent, f"{CALLERS} callers")
    found: Found = {}
    for name, start in SCENARIOS.items():
        with _ended(bed, start(bed, scale, absent)) as served:
            found[name] = _measure(served, scale)
    report.add(told.tell(), *_tables(found), *not_measured(absent))
    return report


@contextmanager
def _ended(bed: Bed, starting: Iterator[Served]) -> Iterator[list[Served]]:
    """Yield the contestants, and end their processes at the end, however many have started."""
    served: list[Served] = []
    try:
        served.extend(starting)
        yield served
    finally:
        children = [child for one in served for child in (one.front, one.child) if child]
        bed.end(*{child.pid: child for child in children}.values())


def _measure(served: Sequence[Served], scale: Scale) -> dict[str, list[Window]]:
    """Measure the contestants. Those with the same name take one round each."""
    found: dict[str, list[Window]] = defaultdict(list)
    turns: dict[str, list[Served]] = defaultdict(list)
    for one in served:
        turns[one.name].append(one)
    for one, *_ in turns.values() if scale.warm_up_s else ():
        warm_up(one, scale)
    for number in range(scale.rounds):
        for name, several in turns.items():
            one = several[number % len(several)]
            found[name].append(window(one, SMALL_CALLERS if scale.small else CALLERS, scale))
    return found


def _ordinary(bed: Bed, scale: Scale, absent: Mapping[str, str]) -> Iterator[Served]:
    """The conditions of the first table."""
    return _all(bed, scale, absent, Audience(), None)


def _many_users(bed: Bed, scale: Scale, absent: Mapping[str, str]) -> Iterator[Served]:
    """Each window uses new users, so that no token and no panel is known at its beginning."""
    known = Audience()
    backend = contestants.stub(bed, known.jwks)
    ours = list(start_ours(bed, known, backend, scale.compiled))
    users = SMALL_USERS if scale.small else MANY_USERS
    for one, _ in product(ours, range(scale.rounds)):
        headers = {name: value for name, value in one.requests[0].headers.items() if name != "Authorization"}
        yield replace(one, requests=Audience(users).with_tokens(headers), first=one.requests)
    yield from _peers(bed, absent, backend, Audience(users).plain())


def _large(panel_bytes: int) -> "Scenario":
    def start(bed: Bed, scale: Scale, absent: Mapping[str, str]) -> Iterator[Served]:
        return _all(bed, scale, absent, Audience(), panel_bytes)

    return start


def _request_ids(bed: Bed, scale: Scale, absent: Mapping[str, str]) -> Iterator[Served]:
    """Each request has its own id."""
    for one in _ordinary(bed, scale, absent):
        ids = {"X-Request-Id": f"018f3a5e-{wrk.NUMBER}"}
        yield replace(one, requests=[wrk.Request(each.path, {**each.headers, **ids}) for each in one.requests])


def _tls(bed: Bed, scale: Scale, absent: Mapping[str, str]) -> Iterator[Served]:
    """An nginx terminates TLS in front of each gateway; nginx with Lua does so itself. The CPU is that of both
    processes."""
    if CAPTURE in absent:
        return
    audience = Audience()
    backend = contestants.stub(bed, audience.jwks)
    certificate = _certificate(bed.folder)
    for one in start_ours(bed, audience, backend, scale.compiled):
        yield _behind_tls(bed, one, certificate)
    for one in _peers(bed, {**absent, CAPTURE: "it needs no front"}, backend, audience.plain()):
        yield _behind_tls(bed, one, certificate)
    child, url = contestants.tls_nginx(bed, backend, certificate)
    yield Served(CAPTURE, child, url, audience.plain())


def _behind_tls(bed: Bed, one: Served, certificate: Path) -> Served:
    front, url = contestants.tls_front(bed, one.url, certificate)
    return replace(one, url=url, front=front)


def _certificate(folder: Path) -> Path:
    """Return a file with a certificate for this machine and its key."""
    path = folder / "tls.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    return path


def _all(
    bed: Bed, scale: Scale, absent: Mapping[str, str], audience: Audience, panel_bytes: int | None
) -> Iterator[Served]:
    backend = contestants.stub(bed, audience.jwks, panel_bytes=panel_bytes)
    yield from start_ours(bed, audience, backend, scale.compiled)
    yield from _peers(bed, absent, backend, audience.plain())


def _peers(bed: Bed, absent: Mapping[str, str], backend: str, requests: Sequence[wrk.Request]) -> Iterator[Served]:
    for name in WITH:
        if name not in absent:
            child, url = PEERS[name].start(bed, backend)
            yield Served(name, child, url, requests)


Scenario = Callable[[Bed, Scale, Mapping[str, str]], Iterator[Served]]
SCENARIOS: Mapping[str, Scenario] = {
    AS_EVER: _ordinary,
    f"{MANY_USERS:,} users, unknown at first": _many_users,
    "panels of 5 KB": _large(5_000),
    "panels of 50 KB": _large(50_000),
    "X-Request-Id differs each time": _request_ids,
    "TLS in front": _tls,
}


def _tables(found: Found) -> Iterator[str]:
    names = list(dict.fromkeys(name for windows in found.values() for name in windows))

    def rows(figure: str, digits: int) -> list[list[str]]:
        return [
            [scenario, *(show(windows.get(name, []), figure, digits) if name in windows else "–" for name in names)]  # noqa: RUF001
            for scenario, windows in found.items()
        ]

    yield "CPU of the gateway process, µs per dashboard; with TLS that of the front, too:"
    yield table(["", *names], rows("cpu_us", 0))
    yield "Dashboards per second:"
    yield table(["", *names], rows("rate", 0))
    pairs = [(ours, theirs) for ours, theirs in RATIOS if theirs in names]
    if pairs:
        yield "Ratios of CPU per dashboard, round by round:"
        yield table(["", *(f"{ours} / {theirs}" for ours, theirs in pairs)], list(_ratio_rows(found, pairs)))
    yield failures({f"{name} ({scenario})": w for scenario, windows in found.items() for name, w in windows.items()})


def _ratio_rows(found: Found, pairs: Sequence[tuple[str, str]]) -> Iterator[list[str]]:
    for scenario, windows in found.items():
        if windows:
            yield [scenario, *(cpu_ratio(windows[ours], windows[theirs]).show(2) for ours, theirs in pairs)]
