"""`dashboard up` whose services are those of the version in a folder: version_up.py FOLDER --port PORT --data-dir DIR
[--replicas NAME=N]..."""

import argparse
import sys
from functools import partial
from pathlib import Path

from tools.devstack.service import Commands
from tools.devstack.up import Options, up
from tools.lab.rolling.versions import command


def main() -> int:
    parser = argparse.ArgumentParser(description="`dashboard up` for the services of another version")
    parser.add_argument("version", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--replicas", action="append", default=[])
    told = parser.parse_args()
    own = Commands(partial(command, told.version, "serve"), partial(command, told.version, "migrate"))
    return up(Options(told.port, told.data_dir, demo=False, replicas=told.replicas), own)


if __name__ == "__main__":
    sys.exit(main())
