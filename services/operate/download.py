"""Keeps a report as a file, if all of it has come."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from services.operate.api import CutOff
from shared.reports import DIGEST_TRAILER, ROWS_TRAILER


@dataclass(frozen=True)
class Downloaded:
    """`rows` without the header."""

    rows: int
    bytes: int
    sha256: str


def keep(answer: httpx.Response, place: Path, on_bytes: Callable[[int], object]) -> Downloaded:
    """Write the report to this file, which is only there when it is whole; tells the bytes as they come.

    Raises `CutOff` and whatever the answer raises; what has come by then is deleted.
    """
    part = place.with_name(f"{place.name}.part")
    try:
        with part.open("wb") as file:
            found = _copy(answer, file, on_bytes)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    return found


def _copy(answer: httpx.Response, file: IO[bytes], on_bytes: Callable[[int], object]) -> Downloaded:
    digest = hashlib.sha256()
    for chunk in answer.iter_bytes():
        file.write(chunk)
        digest.update(chunk)
        on_bytes(len(chunk))
    trailers: httpx.Headers = answer.extensions["get_trailers"]()
    if ROWS_TRAILER not in trailers or DIGEST_TRAILER not in trailers:
        raise CutOff("the download does not say how it ends; a proxy on the way may drop trailers")
    if trailers[DIGEST_TRAILER] != digest.hexdigest():
        raise CutOff("the download is not what was sent: its SHA-256 differs")
    return Downloaded(int(trailers[ROWS_TRAILER]), file.tell(), digest.hexdigest())
