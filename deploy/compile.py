"""`python deploy/compile.py TREE [MODULE ...]`: copy the packages into a folder, and compile the hot modules there.

mypyc makes extension modules of the same sources; all other modules stay as they are. A process that has the folder
first on its path (`PYTHONPATH=TREE`) uses the extension modules. A C compiler is needed here, and not at run time.
"""

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mypyc.build import mypycify
from setuptools import Distribution

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("services", "shared")
MODULES = (
    "services.gateway.admission.limits",
    "services.gateway.admission.local",
    "services.gateway.auth",
    "services.gateway.dashboard.cache",
    "services.gateway.dashboard.reader",
    "services.gateway.dashboard.wish",
    "services.gateway.tally",
    "services.gateway.upstream.batching",
    "services.gateway.upstream.hedging",
    "services.gateway.upstream.http1",
    "services.gateway.upstream.panel_protocol",
    "services.gateway.upstream.resilience",
    "services.gateway.upstream.single_flight",
    "services.gateway.upstream.timers",
    "shared.clock",
    "shared.observability.histogram",
    "shared.request_log",
    "shared.telemetry",
)
"""Those on the path of a dashboard. A module with msgspec structs that are decoded into stays out: mypyc keeps no type
arguments of their fields."""
TYPES = ("--config-file=", "--ignore-missing-imports")
"""How mypy reads them. `make types` checks them strictly, with stubs that need not be here."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="compile.py", description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="compile these; by default all that gain")
    options = parser.parse_args()
    copy(options.tree)
    os.chdir(options.tree)  # both compilers take paths as names of modules
    compile_modules(options.modules or MODULES)


def copy(tree: Path) -> None:
    """Replace the packages that are there."""
    for stale in tree.glob("*__mypyc*.so"):
        stale.unlink()
    for package in PACKAGES:
        shutil.rmtree(tree / package, ignore_errors=True)
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))


def compile_modules(modules: Sequence[str]) -> None:
    """Put extension modules beside their sources in the working directory."""
    sources = [module.replace(".", "/") + ".py" for module in modules]
    extensions = mypycify([*TYPES, *sources], opt_level="3", debug_level="0")
    command = Distribution({"name": "dashboard", "ext_modules": extensions}).get_command_obj("build_ext")
    command.inplace = True
    command.ensure_finalized()
    command.run()
    shutil.rmtree("build")  # objects and C


if __name__ == "__main__":
    main()
