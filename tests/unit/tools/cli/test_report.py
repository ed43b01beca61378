"""A report is stored as a file only if it is complete."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tools.cli.report import Downloaded, keep

CHUNKS = [b"id\n", b"1\n2\n"]
DIGEST = hashlib.sha256(b"".join(CHUNKS)).hexdigest()


class Chunks(httpx.SyncByteStream):
    def __init__(self, *, broken: bool = False) -> None:
        self._broken = broken

    def __iter__(self) -> Iterator[bytes]:
        yield from CHUNKS
        if self._broken:
            raise httpx.RemoteProtocolError("cut")


def answer(*, broken: bool = False) -> httpx.Response:
    return httpx.Response(200, stream=Chunks(broken=broken))


def test_a_whole_download_is_kept(tmp_path: Path) -> None:
    """A complete download is stored under its name, and its rows, size and digest are reported."""
    place, told = tmp_path / "rows.csv", list[int]()
    done = keep(answer(), place, told.append)
    assert done == Downloaded(rows=2, bytes=7, sha256=DIGEST)
    assert place.read_bytes() == b"id\n1\n2\n"
    assert sum(told) == 7
    assert list(tmp_path.iterdir()) == [place]


def test_a_cut_download_leaves_nothing_new(tmp_path: Path) -> None:
    """An older file with the same name is not changed."""
    place = tmp_path / "rows.csv"
    place.write_text("older")
    with pytest.raises(httpx.RemoteProtocolError):
        keep(answer(broken=True), place, lambda _: None)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["older"]
