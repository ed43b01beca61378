"""Ten large pictures at once, and their effect on dashboard requests."""

import asyncio
import io
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import psutil
from PIL import Image

from tests.support.stack.running import Person, Stack, running_stack
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.report import Report, ratios, spread, table
from tools.lab.bench.system import quantile

NAME = "pictures"
UPLOADS = 10
SIZE, SMALL_SIZE = (5472, 3648), (800, 600)
PER_S = 50
"""Dashboard requests per second, regardless of earlier responses."""
QUIET, BUSY = "before", "during"


@dataclass
class Read:
    """The latency of each dashboard in ms, and the number of incomplete ones."""

    ms: list[float] = field(default_factory=list)
    partial: int = 0
    failed: int = 0


@dataclass
class Sent:
    """The seconds of each picture and of all together, the CPU seconds of their processes, and the number of refused
    ones."""

    each_s: list[float]
    all_s: float
    cpu_s: float
    refused: int


def run(bed: Bed, scale: Scale) -> Report:
    width, height = SMALL_SIZE if scale.small else SIZE
    photo = drawn(width, height)
    conditions = Conditions(
        scale,
        versions("pillow"),
        f"{UPLOADS} JPEGs of {width * height / 1e6:.1f} megapixels, {len(photo) / 1e6:.1f} MB each;"
        f" {PER_S} uncached dashboards per second, at that rate; nothing pinned",
    )
    reads: dict[str, list[Read]] = {QUIET: [], BUSY: []}
    sent: list[Sent] = []
    with running_stack(bed.folder, bed.backends) as stack:
        reader, *senders = [Person(stack) for _ in range(1 + UPLOADS)]
        asyncio.run(_read(stack, reader, scale.warm_up_s or 0.1))
        for _ in range(scale.rounds):
            reads[QUIET].append(asyncio.run(_read(stack, reader, scale.window_s)))
            read, pictures = asyncio.run(_read_while_sent(stack, reader, senders, photo))
            reads[BUSY].append(read)
            sent.append(pictures)
        for person in (reader, *senders):
            person.http.close()
    report = Report(NAME)
    report.add(conditions.tell(), _table(reads), _sent(sent))
    return report


def drawn(width: int, height: int) -> bytes:
    """Return a JPEG as large as a photo of this size."""
    grain = Image.effect_noise((width // 8, height // 8), 60).resize((width, height))
    written = io.BytesIO()
    Image.merge("RGB", (grain, grain.transpose(Image.Transpose.FLIP_LEFT_RIGHT), grain)).save(
        written, "JPEG", quality=92
    )
    return written.getvalue()


async def _read(stack: Stack, reader: Person, seconds: float, until: asyncio.Event | None = None) -> Read:
    """Request dashboards for this long, or until `until` is set."""
    found = Read()
    headers = {"Authorization": reader.http.headers["Authorization"], "Cache-Control": "no-cache"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=15) as http, asyncio.TaskGroup() as tasks:
        began, number = time.monotonic(), 0
        while not until.is_set() if until else number < seconds * PER_S:
            tasks.create_task(_dashboard(http, found))
            number += 1
            await asyncio.sleep(max(0, began + number / PER_S - time.monotonic()))
    return found


async def _dashboard(http: httpx.AsyncClient, found: Read) -> None:
    began = time.monotonic()
    answer = await http.get("/v1/dashboard")
    found.ms.append((time.monotonic() - began) * 1000)
    found.failed += answer.status_code != httpx.codes.OK
    found.partial += answer.headers.get("Dashboard-Complete") != "true"


async def _read_while_sent(stack: Stack, reader: Person, senders: Sequence[Person], photo: bytes) -> tuple[Read, Sent]:
    ended = asyncio.Event()
    reading = asyncio.create_task(_read(stack, reader, 0, ended))
    before, began = _children_s(stack), time.monotonic()
    found = await asyncio.gather(*(asyncio.to_thread(_put, sender, photo) for sender in senders))
    all_s = time.monotonic() - began
    ended.set()
    each_s = [seconds for seconds, taken in found if taken]
    return await reading, Sent(each_s, all_s, _children_s(stack) - before, len(found) - len(each_s))


def _put(sender: Person, photo: bytes) -> tuple[float, bool]:
    """Send a picture, in a thread, because large bodies would block the loop that reads."""
    began = time.monotonic()
    answer = sender.http.put("/v1/me/avatar", content=photo, headers={"Content-Type": "image/jpeg"}, timeout=30)
    return time.monotonic() - began, answer.status_code == httpx.codes.OK


def _children_s(stack: Stack) -> float:
    """Return the CPU seconds of the children of the users service that have ended."""
    total = 0.0
    for pid in stack.pids("users"):
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.children_user + times.children_system
    return total


def _table(reads: Mapping[str, Sequence[Read]]) -> str:
    head = ["pictures", "dashboards", "p50 ms", "p99 ms", "longest ms", "not complete", "failed"]
    rows = [
        [
            name,
            f"{sum(len(read.ms) for read in found):,}",
            spread([quantile(read.ms, 0.5) for read in found]).show(1),
            spread([quantile(read.ms, 0.99) for read in found]).show(1),
            f"{max(max(read.ms) for read in found):.0f}",
            str(sum(read.partial for read in found)),
            str(sum(read.failed for read in found)),
        ]
        for name, found in reads.items()
    ]
    grown = ratios(*([quantile(read.ms, 0.99) for read in reads[name]] for name in (BUSY, QUIET)))
    return f"Dashboards:\n\n{table(head, rows)}\n\np99 during / before: {grown.show(2)}."


def _sent(sent: Sequence[Sent]) -> str:
    each = spread([seconds for one in sent for seconds in one.each_s])
    all_s = spread([one.all_s for one in sent])
    cpu = spread([one.cpu_s / max(1, len(one.each_s)) for one in sent])
    return (
        f"Pictures: all {UPLOADS} in {all_s.show(2)} s, each after {each.show(2)} s, the wait for its turn included;"
        f" {cpu.show(2)} s of CPU per picture. Refused: {sum(one.refused for one in sent)}."
    )
