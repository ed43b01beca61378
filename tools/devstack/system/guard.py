"""Ends the processes that a supervisor started when the supervisor itself ends, for whatever reason.

The supervisor holds the other end of this process's standard input and writes there what it starts and ends. The pipe
closes with the supervisor, even after `kill -9`, which no signal handler sees. A pipe is used instead of Linux's
PR_SET_PDEATHSIG, which fires when the *thread* that started the child ends, is lost when the child changes its user,
and does not exist on macOS.
"""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from tools.devstack.system.processes import Identity, end_all

_GRACE = 8.0


def follow(lines: Iterable[str]) -> tuple[list[Identity], list[Path]]:
    """Return the live processes, and the folders to delete, at the end of the input."""
    alive: dict[int, Identity] = {}
    folders: list[Path] = []
    for line in lines:
        verb, _, rest = line.rstrip("\n").partition(" ")
        if verb == "started":
            pid, started = rest.split()
            alive[int(pid)] = Identity(int(pid), float(started))
        elif verb == "ended":
            alive.pop(int(rest), None)
        elif verb == "remove":
            folders.append(Path(rest))
    return list(alive.values()), folders


def main() -> None:
    alive, folders = follow(sys.stdin)
    end_all(alive, _GRACE)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
