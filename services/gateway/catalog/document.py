"""Reads a TOML file, and finds the lines of its mistakes."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Key = tuple[str | int, ...]
"""The path of a value in a document: `("panels", "orders", "timeout_ms")`, `("routes", 3, "access")`."""

_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
CLOSINGS = ("", "]")
"""What completes the first lines of a document, which may end within a list."""


@dataclass(frozen=True)
class Mistake:
    """One mistake in the file, and the key of the value that it is in."""

    key: Key
    message: str
    line: int = 0


class InvalidPanelsFile(Exception):
    """The panels file cannot be used. Its text has one line for each mistake: file, line, key, and what is wrong."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(_described(path, mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True)
class Document:
    """A TOML file: its values, and its text for finding lines."""

    path: Path
    text: str
    values: dict[str, Any]

    def invalid(self, mistakes: Sequence[Mistake]) -> InvalidPanelsFile:
        """Return the error for these mistakes, with their lines."""
        lines = self.text.splitlines()
        found = [Mistake(each.key, each.message, line_of(lines, each.key)) for each in mistakes]
        return InvalidPanelsFile(self.path, sorted(found, key=lambda mistake: mistake.line))


def read_document(path: Path) -> Document:
    """Read the file. Raises `InvalidPanelsFile`."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as unreadable:
        raise InvalidPanelsFile(path, [Mistake((), f"cannot be read: {unreadable}")]) from unreadable
    try:
        return Document(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as broken:
        told = str(broken)
        place = _AT_LINE.search(told)
        line = int(place[1]) if place and place[1] else len(text.splitlines())
        raise InvalidPanelsFile(path, [Mistake((), _AT_LINE.sub("", told), line)]) from broken


def line_of(lines: Sequence[str], key: Key) -> int:
    """Return the number of the line in which the value of that key begins: the lines up to it contain the key, and one
    line less does not. 1 if the document as a whole is meant.

    Parses the document once for each line, which only happens if it has a mistake.
    """
    while key:
        for number in range(1, len(lines) + 1):
            if any(_has(_parsed("\n".join(lines[:number]) + closing), key) for closing in CLOSINGS):
                return number
        key = key[:-1]  # a key that is missing: the table that should have it
    return 1


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _has(value: Any, key: Key) -> bool:
    for part in key:
        if isinstance(part, int):
            if not isinstance(value, list) or part >= len(value):
                return False
        elif not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _described(path: Path, mistake: Mistake) -> str:
    place = f"{path}:{mistake.line}" if mistake.line else str(path)
    name = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in mistake.key).lstrip(".")
    return f"{place}: {name}: {mistake.message}" if name else f"{place}: {mistake.message}"
