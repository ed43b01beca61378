"""`python -m tools.lab.chaos`: inject faults under load, and count what was lost. CHAOS_SECONDS, CHAOS_SEED."""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tools.lab.chaos.baseline.system import running_baseline
from tools.lab.chaos.dashboard import running_dashboard
from tools.lab.chaos.report import report
from tools.lab.chaos.run import Conditions, Outcome, Start, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.lab.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("CHAOS_SECONDS", "180")))
    parser.add_argument("--seed", type=int, default=_seed(os.environ.get("CHAOS_SEED")))
    parser.add_argument(
        "--rate", type=float, default=Conditions.rate, help="maximum number of client actions per second"
    )
    parser.add_argument("--only", nargs="+", default=(), help="only these faults: kill, freeze, hold, …")
    parser.add_argument(
        "--baseline", action="store_true", help="repeat the run with the baseline, and print both results"
    )
    options = parser.parse_args()
    conditions = Conditions(options.seed, options.seconds, options.rate, frozenset(options.only))
    starts: list[Start] = [running_dashboard, running_baseline] if options.baseline else [running_dashboard]
    outcomes = [_run(start, conditions) for start in starts]
    say(f"\n{report(outcomes)}")
    return 1 if outcomes[0].failed else 0


def _run(start: Start, conditions: Conditions) -> Outcome:
    """Run it. The folder with all logs is kept if something failed."""
    folder = Path(tempfile.mkdtemp(prefix="dashboard-chaos-"))
    say(f"seed {conditions.seed}, {conditions.seconds:.0f} s, logs in {folder}")
    outcome = asyncio.run(run(start, conditions, folder, say))
    if not outcome.failed:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _seed(given: str | None) -> int:
    return int(given) if given else random.randrange(10_000)


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
