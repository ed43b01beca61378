"""Removes what no process reads from the image's packages and from Python. Standard library only.

    python deploy/slim.py SITE-PACKAGES [PACKAGE...]     the packages; those that are named keep their sources: ours
    python deploy/slim.py                                the standard library of this Python

What is left of all else is bytecode: a traceback shows its files and line numbers, without the text of the lines.
docs/decisions/0051 has the sizes. Run it with the Python that will import them.
"""

import compileall
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

UNREAD = (
    "**/tests",  # packages' own tests
    "sqlalchemy/testing",
    "alembic/testing",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "**/*.c",
    "**/*.h",
    "pycountry/locales",  # names in other languages
    "pycountry/databases/iso3166*",  # only currencies are read
    "pycountry/databases/iso639*",
    "pycountry/databases/iso15924*",
    "PIL/_avif.*",  # pictures are PNG, JPEG or WebP, without text
    "PIL/_imagingft.*",
    "PIL/_imagingtk.*",
    "pillow.libs/libavif-*",
    "pillow.libs/libbrotli*",
    "pillow.libs/libfreetype-*",
    "pillow.libs/libharfbuzz-*",
    "pillow.libs/libpng16-*",
)
NOT_USED = (
    *("ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtle*", "venv"),
    *("lib-dynload/*test*.so", "lib-dynload/_tkinter*", "lib-dynload/xx*.so"),
)
"""Of the standard library."""
LEXERS = "pygments/lexers"
"""Rich colours Python at most; the package finds its lexers by a table and imports each when it is used."""
LEXERS_READ = {"__init__.py", "_mapping.py", "python.py"}


def unread(folder: Path) -> Iterator[Path]:
    """Yield files and folders to remove."""
    for pattern in UNREAD:
        yield from folder.glob(pattern)
    yield from (file for file in (folder / LEXERS).glob("*.py") if file.name not in LEXERS_READ)


def remove(paths: list[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # it may be in one that is gone
        else:
            path.unlink(missing_ok=True)


def strip(folder: Path) -> None:
    """Remove the debug symbols of libraries. Raises `CalledProcessError`."""
    libraries = [str(file) for file in folder.rglob("*.so*") if file.is_file()]
    if libraries:
        subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)  # noqa: S603, S607


def keep_bytecode_only(folder: Path, but: set[str]) -> None:
    """Replace sources by their bytecode, but not in the entries of the folder with these names. Sources that do not
    compile, such as templates, stay."""
    for entry in sorted(folder.iterdir()):
        if entry.name in but:
            continue
        sources = [entry] if entry.suffix == ".py" else list(entry.rglob("*.py")) if entry.is_dir() else []
        for source in sources:
            if compileall.compile_file(source, quiet=2, legacy=True):
                source.unlink()
        if entry.is_dir():
            remove([*entry.rglob("__pycache__")])
    remove([folder / "__pycache__"])


def packages(folder: Path, ours: set[str]) -> None:
    remove([*unread(folder)])
    strip(folder)
    keep_bytecode_only(folder, ours)


def standard_library(folder: Path) -> None:
    remove([path for pattern in NOT_USED for path in folder.glob(pattern)])
    keep_bytecode_only(folder, {"site-packages", "dist-packages", "lib-dynload"})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        packages(Path(sys.argv[1]).resolve(), set(sys.argv[2:]))
    else:
        standard_library(Path(sysconfig.get_path("stdlib")))
