"""The cost of bookkeeping in the gateway: the ordinary way and ours, in turns in one process.

    python -m tools.lab.bench.bookkeeping FOUND WINDOW_S ROUNDS

measures, and writes the results into the file FOUND, as JSON.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from shared.observability import logs
from shared.server.garbage import freeze_heap
from tools.lab.bench.bed import Bed, DidNotStart
from tools.lab.bench.bookkeeping_ways import Item, Turn, parts, whole
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.contestants import Audience
from tools.lab.bench.inner_gateway import MemoryLoop, inner_gateway, inner_settings
from tools.lab.bench.report import Report, spread, table

NAME = "bookkeeping"
TURN_S = 0.002
FIRST_TIMES = 64
"""The number of operations by which the cost is estimated, to choose the length of a turn."""
USERS = 64
MOST_S = 1800.0


class Found(msgspec.Struct):
    """The CPU µs per operation by way, one figure for each round."""

    name: str
    uncached: int
    cached: int
    ways: dict[str, list[float]]

    @property
    def saved(self) -> list[float]:
        ordinary, *_, ours = self.ways.values()
        return [before - now for before, now in zip(ordinary, ours, strict=True)]


class Findings(msgspec.Struct):
    parts: list[Found]
    whole: list[Found]


class Contest(NamedTuple):
    """An item, and the number of operations of each way in a turn."""

    item: Item
    times: dict[str, int]
    found: Found


def run(bed: Bed, scale: Scale) -> Report:
    conditions = Conditions(
        scale,
        versions("prometheus_client", "structlog", "msgspec", "pyjwt", "uvicorn", "uvloop"),
        f"here a window is of one line, its ways take turns of {TURN_S * 1000:g} ms, and the median turn counts",
    )
    path = bed.folder / "bookkeeping.json"
    child = bed.python(NAME, "-m", "tools.lab.bench.bookkeeping", str(path), str(scale.window_s), str(scale.rounds))
    if child.wait(MOST_S):
        raise DidNotStart(child.log.read_text()[-2000:])
    findings = msgspec.json.decode(path.read_bytes(), type=Findings)
    report = Report(NAME)
    report.add(conditions.tell(), *_tables(findings))
    return report


def _tables(findings: Findings) -> Iterator[str]:
    yield "µs of CPU per operation:"
    yield table(
        [
            "what",
            "ordinary",
            "µs",
            "ours",
            "µs",
            "saved, µs",
            "per dashboard: uncached / cached",
            "saved per dashboard, µs",
        ],
        [_part(one) for one in findings.parts],
    )
    yield "Other ways that were tried, µs:"
    yield table(["what", "way", "µs"], list(_others(findings.parts)))
    yield "A whole dashboard without the kernel, µs:"
    yield table(["dashboard", *findings.whole[0].ways, "saved"], [_whole(one) for one in findings.whole])


def _part(one: Found) -> list[str]:
    ordinary, *_, ours = one.ways
    each = median(one.saved)
    times, saved = f"{one.uncached} / {one.cached}", f"{one.uncached * each:.1f} / {one.cached * each:.1f}"
    return [one.name, ordinary, _show(one.ways[ordinary]), ours, _show(one.ways[ours]), _show(one.saved), times, saved]


def _others(found: Sequence[Found]) -> Iterator[list[str]]:
    for one in found:
        for way in list(one.ways)[1:-1]:
            yield [one.name, way, _show(one.ways[way])]


def _whole(one: Found) -> list[str]:
    return [one.name, *(spread(figures).show(1) for figures in one.ways.values()), spread(one.saved).show(1)]


def _show(figures: Sequence[float]) -> str:
    return spread(figures).show(2)


async def measure(window_s: float, rounds: int) -> Findings:
    """Measure everything in this process. Needs a `MemoryLoop`."""
    settings, audience = inner_settings(), Audience(USERS)
    logs.configure("gateway", settings)
    inner = await inner_gateway(audience, settings)
    of_whole = [await _contest(item) for item in await whole(inner, audience)]
    of_parts = [await _contest(item) for item in parts(inner, audience)]
    freeze_heap()
    for _ in range(rounds):
        for contest in (*of_parts, *of_whole):
            await _take_turns(contest, window_s)
    return Findings([each.found for each in of_parts], [each.found for each in of_whole])


async def _contest(item: Item) -> Contest:
    times = {way: await _times(turn, item.step) for way, turn in item.ways.items()}
    return Contest(item, times, Found(item.name, item.uncached, item.cached, {way: [] for way in item.ways}))


async def _times(turn: Turn, step: int) -> int:
    steps = max(1, FIRST_TIMES // step)
    cost_s = await _cost_s(turn, steps * step)
    return max(1, int(TURN_S / cost_s) // step) * step


async def _take_turns(contest: Contest, window_s: float) -> None:
    ways = contest.item.ways
    costs: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(max(1, int(window_s / TURN_S / len(ways)))):
        for way, turn in ways.items():
            costs[way].append(await _cost_s(turn, contest.times[way]))
    for way, found in costs.items():
        contest.found.ways[way].append(median(found) * 1e6)


async def _cost_s(turn: Turn, times: int) -> float:
    """Return the CPU seconds per operation, including the callbacks that it schedules."""
    began = time.thread_time()
    await turn(times)
    await asyncio.sleep(0)
    return (time.thread_time() - began) / times


def main(found: Path, window_s: float, rounds: int) -> None:
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  the request log writes to it at the end
    with asyncio.Runner(loop_factory=MemoryLoop) as runner:
        found.write_bytes(msgspec.json.encode(runner.run(measure(window_s, rounds))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
