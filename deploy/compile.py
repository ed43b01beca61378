"""Compiles the modules that pyproject.toml lists under `tool.dashboard.compiled` with mypyc.

    python deploy/compile.py FOLDER

FOLDER holds the packages `services` and `shared`. Each compiled module is put beside its source, and Python imports it
instead of the source. Run this from the root of the project: there the sources are read, and `build/mypyc` keeps what
makes the next run shorter. Needs a C compiler and the dependency group `compile`.
"""

import io
import shutil
import sys
import tomllib
from contextlib import redirect_stdout
from pathlib import Path

from mypyc.build import mypycify
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

GROUP = "dashboard"
"""All modules are one library of this name, so that they call each other directly."""
WORK = Path("build/mypyc")


def modules() -> list[str]:
    """The names of the modules to compile."""
    listed: list[str] = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["dashboard"]["compiled"]
    return listed


def to_c(sources: list[str]) -> list[Extension]:
    """Translate the sources to C. Exits when mypyc has anything to say: a warning names code that behaves differently
    when it is compiled, such as a generator expression, which becomes a list."""
    options = ["--config-file=pyproject.toml", "--follow-imports=silent", f"--cache-dir={WORK}/cache"]
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            extensions: list[Extension] = mypycify(
                [*options, *sources], target_dir=str(WORK), group_name=GROUP, debug_level="0"
            )
    finally:
        sys.stderr.write(said.getvalue())
    if said.getvalue():
        sys.exit("mypyc warns of these modules; nothing was compiled")
    return extensions


def build(extensions: list[Extension]) -> list[Path]:
    """Compile the C code. Returns the libraries, relative to `build/mypyc/lib`."""
    command = build_ext(Distribution({"name": GROUP, "ext_modules": extensions}))
    command.build_lib, command.build_temp = str(WORK / "lib"), str(WORK / "objects")
    command.ensure_finalized()
    command.run()
    return [Path(made).relative_to(WORK / "lib") for made in command.get_outputs()]


def main(folder: Path) -> None:
    for library in build(to_c([f"{module.replace('.', '/')}.py" for module in modules()])):
        shutil.copy2(WORK / "lib" / library, folder / library)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
