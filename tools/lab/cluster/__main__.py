"""`python -m tools.lab.cluster node|failover`: lose a node of a RabbitMQ cluster, or the primary of a Postgres pair,
under load, and count what was lost. The exit status is 1 if anything was."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tools.lab.cluster.report import report
from tools.lab.cluster.scenarios import fail_over, lost_node
from tools.lab.cluster.trial import Conditions, Outcome, Start, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.lab.cluster", description=__doc__)
    parser.add_argument("what", nargs="*", choices=["node", "failover"], default=["node", "failover"])
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument(
        "--rate", type=float, default=Conditions.rate, help="maximum number of client actions per second"
    )
    parser.add_argument("--away", type=float, default=Conditions.away_s, help="seconds until the lost server returns")
    parser.add_argument("--asynchronous", action="store_true", help="use a standby that commits do not wait for")
    options = parser.parse_args()
    conditions = Conditions(options.seed, options.rate, away_s=options.away)
    starts: dict[str, Start] = {"node": lost_node, "failover": fail_over(synchronous=not options.asynchronous)}
    outcomes = [_run(starts[what], conditions) for what in options.what]
    say(f"\n{report(outcomes)}")
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def _run(start: Start, conditions: Conditions) -> Outcome:
    """Run it. The folder with all logs is kept if something failed."""
    folder = Path(tempfile.mkdtemp(prefix="dashboard-cluster-"))
    say(f"logs in {folder}")
    outcome = asyncio.run(run(start, conditions, folder, say))
    if not outcome.failed:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
