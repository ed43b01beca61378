"""A stored file, chunk by chunk."""

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

from services.worker.imports.records import Place, Record, cut
from services.worker.imports.storage import FileGone, Storage
from shared.imports import MAX_ROWS


class Chunk(NamedTuple):
    records: list[Record]
    end: Place


async def chunks(storage: Storage, key: str, size: int, place: Place) -> AsyncGenerator[Chunk]:
    """From `place` on, at most `MAX_ROWS` records at a time, parsed in a thread; a chunk may hold none.

    Raises `FileGone` or `StorageUnavailable`.
    """
    data, read = b"", place.offset
    async for piece in _pieces(storage, key, size, place.offset):
        data, read = data + piece, read + len(piece)
        while data:
            found = await asyncio.to_thread(cut, data, place, MAX_ROWS, at_end=read >= size)
            if found.end == place:
                break
            yield Chunk(found.records, found.end)
            data, place = data[found.end.offset - place.offset :], found.end
    if read < size:
        raise FileGone("the file is shorter than it was")


async def _pieces(storage: Storage, key: str, size: int, offset: int) -> AsyncGenerator[bytes]:
    if offset < size:  # a range must not begin at the end
        async for piece in storage.read(key, offset):
            yield piece
