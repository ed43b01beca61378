"""`python -m tools.lab.bench [NAME ...]`: measure, print the tables, and write them into docs/performance.md."""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

from tools.lab.bench.bed import bed
from tools.lab.bench.conditions import SMALL_WITH_PEERS, Scale
from tools.lab.bench.report import Report, write

NAMES = (
    "gateway",
    "scenarios",
    "pauses",
    "bookkeeping",
    "passthrough",
    "faults",
    "orders",
    "enqueue",
    "worker",
    "batches",
    "relay",
    "delays",
    "pictures",
    "reports",
    "streams",
    "overload",
    "traces",
    "system",
    "panels",
    "rest",
    "views",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.lab.bench", description=__doc__)
    chosen = [name for name in os.environ.get("BENCH", "").split(",") if name]
    parser.add_argument("names", nargs="*", default=chosen, help=f"benchmarks ({', '.join(NAMES)}); all by default")
    parser.add_argument("--seconds", type=float, default=Scale.window_s, help="length of a window")
    parser.add_argument("--rounds", type=int, default=Scale.rounds)
    parser.add_argument("--compiled", type=Path, help="a checkout with compiled modules, measured as `ours, compiled`")
    parser.add_argument("--small", action="store_true", help="only check that it works, without a measurement")
    parser.add_argument("--no-write", action="store_true", help="do not change docs/performance.md")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    scale = SMALL_WITH_PEERS if options.small else Scale(options.seconds, options.rounds, compiled=options.compiled)
    for name in options.names or NAMES:
        began = time.monotonic()
        report = run(name, scale)
        say(f"## {name} ({time.monotonic() - began:.0f} s)\n\n{report.text}\n")
        if not options.no_write and not options.small:
            write(report)
    return 0


def run(name: str, scale: Scale) -> Report:
    with bed() as ground:
        found: Report = importlib.import_module(f"tools.lab.bench.{name}").run(ground, scale)
        return found


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
