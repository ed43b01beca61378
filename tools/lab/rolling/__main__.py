"""`python -m tools.lab.rolling`: restart every process under load, and count what failed, was lost or was done
twice."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tools.lab.rolling.run import Conditions, run
from tools.lab.rolling.versions import last_release


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.lab.rolling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=20.0, help="maximum number of client actions per second")
    parser.add_argument(
        "--from", dest="since", metavar="REF", help="start with the version at this git ref; `last` is the last release"
    )
    parser.add_argument(
        "--record", action="store_true", help="store the statements of the run in tests/golden/statements"
    )
    options = parser.parse_args()
    since = last_release() if options.since == "last" else options.since
    if options.since and not since:
        parser.error("no earlier release in the history of this checkout")
    folder = Path(tempfile.mkdtemp(prefix="dashboard-rolling-"))
    conditions = Conditions(options.rate, rounds=options.rounds, since=since, record=options.record)
    say(f"logs in {folder}, kept if something failed")
    if since:
        say(f"from {since} to this version")
    outcome = asyncio.run(run(conditions, folder, say))
    say(f"\n{outcome.report()}")
    if not outcome.failed:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if outcome.failed else 0


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
