"""`dashboard up` whose services have the tuning of `budgets.py`: tuned_up.py --data-dir DIR [--port PORT]."""

import argparse
import sys
from pathlib import Path

from tests.support import tuned_service
from tests.support.stack.budgets import TUNING
from tools.devstack.service import Commands
from tools.devstack.up import Options, up

COMMAND = (sys.executable, "-m", "tests.support.stack.tuned_up")
"""The start of its command line."""


def serve(name: str) -> list[str]:
    """Return the command of one service."""
    return tuned_service.command(name, TUNING[name])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    sys.exit(up(Options(given.port, given.data_dir, demo=False), Commands(serve=serve)))
