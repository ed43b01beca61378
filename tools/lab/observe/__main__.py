"""`python -m tools.lab.observe [FOLDER]`: the one-machine stack under load, with its dashboards drawn from Prometheus.

`OBSERVE_SECONDS` (240) and `OBSERVE_PEOPLE` (16) are the duration and the number of people. The exit status is 1 if a
panel without data should have some.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from tests.e2e.screenshots import COLOURS
from tests.support.stack.browser import executable, launched
from tests.support.stack.running import SERVICES, Stack
from tests.support.waiting import wait_until
from tools.devstack.system.ports import free_port
from tools.lab.observe.draw import WIDTH_PX, Line, named, page
from tools.lab.observe.expressions import DASHBOARDS, board, panels
from tools.lab.observe.load import load
from tools.lab.observe.prometheus import STEP_S, Prometheus, prometheus

FOLDER = Path("docs/images")
MAY_BE_EMPTY = {
    "gateway: Failed (5xx)",
    "gateway: Shed requests",
    "gateway: Rate-limited requests",
    "jobs: Held or returned",
    "overview: Alerts",
    "pools: Unhandled exceptions and task restarts",
    "pools: RabbitMQ: free disk",
    "pools: RabbitMQ: memory",
    "pools: RabbitMQ: messages",
}
"""Panels of events that may not occur, and of values that a single broker does not report."""


def main() -> None:
    if executable() is None:
        sys.exit("no Chromium: tools/devstack/install.sh browser")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    seconds, people = float(os.environ.get("OBSERVE_SECONDS", "240")), int(os.environ.get("OBSERVE_PEOPLE", "16"))
    with tempfile.TemporaryDirectory(prefix="dashboard-observe-") as place, _stack(Path(place)) as stack:
        targets = stack.folder / "prometheus-targets.json"
        with prometheus(Path(place), targets) as watcher:
            wait_until(lambda: watcher.sees(len(SERVICES)), within=60)
            began = time.time()
            load(stack, people, seconds)
            time.sleep(2 * STEP_S)  # includes the last samples
            shown = {path: _shown(path, watcher, began, time.time()) for path in DASHBOARDS}
            asyncio.run(_draw(shown, folder, began, time.time()))
    sys.exit(_report(shown))


@contextmanager
def _stack(place: Path) -> Iterator[Stack]:
    stack = Stack(place / "data", place / "up.log")
    command = [sys.executable, "-m", "tools.cli.main", "up", "--no-demo", "--port", str(free_port())]
    env = os.environ | {"WORKER_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with stack.log.open("w") as log:
        process = subprocess.Popen(
            [*command, "--data-dir", str(stack.folder)], env=env, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: "is ready" in stack.log.read_text() or process.poll() is not None, within=240)
        yield stack
    finally:
        process.terminate()
        process.wait(60)


Shown = Mapping[int, Sequence[Line]]


def _shown(path: Path, watcher: Prometheus, start: float, end: float) -> Shown:
    return {panel["id"]: _lines(panel, watcher, start, end) for panel in panels(path)}


def _lines(panel: Mapping[str, Any], watcher: Prometheus, start: float, end: float) -> list[Line]:
    return [
        line
        for target in panel["targets"]
        for line in named(target["legendFormat"], watcher.over(target["expr"], start, end))
    ]


async def _draw(shown: Mapping[Path, Shown], folder: Path, start: float, end: float) -> None:
    async with launched() as browser:
        for path, lines in shown.items():
            tab = await browser.new_page(viewport={"width": WIDTH_PX + 16, "height": 900})
            await tab.set_content(page(board(path), lines, start, end))
            taken = Image.open(BytesIO(await tab.screenshot(full_page=True)))
            small = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            small.save(folder / f"grafana-{path.stem}.png", optimize=True)
            await tab.close()


def _report(shown: Mapping[Path, Shown]) -> int:
    """Print the panels without data; return the exit status."""
    empty = [
        f"{path.stem}: {panel['title']}"
        for path, lines in shown.items()
        for panel in panels(path)
        if not lines[panel["id"]]
    ]
    every = sum(len(panels(path)) for path in shown)
    sys.stdout.write(f"{every - len(empty)} of {every} panels show something. Nothing: {'; '.join(empty) or 'none'}\n")
    return 0 if MAY_BE_EMPTY.issuperset(empty) else 1


if __name__ == "__main__":
    main()
