"""Saves a report as a file, if it is complete."""

import csv
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)


@dataclass(frozen=True)
class Downloaded:
    """`rows` without the header."""

    rows: int
    bytes: int
    sha256: str


def keep(answer: httpx.Response, place: Path, on_bytes: Callable[[int], object]) -> Downloaded:
    """Write the report to this file, which exists only if it is complete; reports the bytes as they arrive.

    Raises the errors of the response; the incomplete file is deleted.
    """
    part = place.with_name(f"{place.name}.part")
    try:
        with part.open("wb") as file:
            digest = _copy(answer, file, on_bytes)
        found = Downloaded(_rows(part), part.stat().st_size, digest)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    return found


def _copy(answer: httpx.Response, file: IO[bytes], on_bytes: Callable[[int], object]) -> str:
    digest = hashlib.sha256()
    for chunk in answer.iter_bytes():
        file.write(chunk)
        digest.update(chunk)
        on_bytes(len(chunk))
    return digest.hexdigest()


def _rows(part: Path) -> int:
    with part.open(encoding="utf-8", newline="") as file:
        return max(0, sum(1 for _ in csv.reader(file)) - 1)


@contextmanager
def progress_of(name: str) -> Iterator[Callable[[int], None]]:
    """Call it with each number of received bytes."""
    terminal = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda count: bar.advance(task, count)
