"""Applies a tutorial to a copy of the project, as a reader would: each fenced block that names a file is that file, or
a change to it; blocks of `sh` are what the reader types.

A change is a diff without positions: the lines that stay or go must be in the file, once. `MMMM` and `NNNN` stand for
the newest migration's number and the next.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"services/\w+/migrations/versions/")


@dataclass(frozen=True)
class Block:
    """`said` is the paragraph before the block."""

    language: str
    file: str | None
    text: str
    said: str


def blocks(page: str) -> Iterator[Block]:
    for found in FENCE.finditer(page):
        before = page[: found.start()].rstrip().rsplit("\n\n", 1)[-1]
        yield Block(found[1], found[2], found[3], before)


def commands(page: str) -> list[str]:
    return [line for block in blocks(page) if block.language == "sh" for line in block.text.splitlines()]


def apply(page: str, project: Path) -> None:
    """Apply the blocks. Raises `AssertionError` with the part that does not match."""
    for block in blocks(page):
        if block.file is not None:
            write(block, project)


def write(block: Block, project: Path) -> None:
    """Write the block's file, or apply its change. Raises `AssertionError` with the part that does not match."""
    name, text = _numbered(block, project)
    path = project / name
    if block.language == "diff":
        path.write_text(changed(path.read_text(), text, name))
        return
    assert not path.exists(), f"{name} exists already"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def changed(before: str, diff: str, name: str) -> str:
    """Return the file after the change."""
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert f"\n{before}".count(f"\n{old}") == 1, f"{name} should have once:\n{old}"
    return f"\n{before}".replace(f"\n{old}", f"\n{new}")[1:]


def _numbered(block: Block, project: Path) -> tuple[str, str]:
    """Return the block's file and text, with the numbers of migrations filled in."""
    assert block.file is not None
    folder = NUMBER.match(block.file)
    if folder is None:
        return block.file, block.text
    newest = max(int(path.name[:4]) for path in (project / folder[0]).glob("[0-9]*.py"))
    text = block.text.replace("MMMM", f"{newest:04}").replace("NNNN", f"{newest + 1:04}")
    return block.file.replace("NNNN", f"{newest + 1:04}"), text
