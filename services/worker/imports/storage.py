"""The storage of uploaded files: a folder (`file:///…`), or a bucket of an S3-compatible server.

`s3://bucket/prefix?endpoint=http://…&region=…`; the keys come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. All
work happens in obstore's own threads, off the event loop.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from services.worker.imports.records import Offset, Record, cut
from shared.contracts.imports import MAX_ROWS
from shared.errors import Unavailable
from shared.observability.logs import get_logger

log = get_logger(__name__)

PART_BYTES = 5 * 1024 * 1024
"""The smallest part that S3 accepts. An upload holds at most `PARTS` of them."""
PARTS = 2
READ_BYTES = 256 * 1024
TIMEOUT = timedelta(seconds=30)
NO_BUCKET = "<Code>NoSuchBucket</Code>"
"""404 like a missing file, but unrelated to the file."""


class StorageUnavailable(Unavailable):
    code, title = "storage_unavailable", "Files cannot be stored or read at the moment; try again"


class FileGone(Exception):
    """The file no longer exists."""


class Storage:
    """Connects, or creates its folder, on first use."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: ObjectStore | None = None

    async def write(self, key: str, pieces: AsyncIterable[bytes]) -> None:
        """Store the pieces as they arrive; nothing is kept if `pieces` raises. Raises `StorageUnavailable`."""
        with _translated():
            await obstore.put_async(self._store, key, pieces, chunk_size=PART_BYTES, max_concurrency=PARTS)

    async def read(self, key: str, offset: int) -> AsyncGenerator[bytes]:
        """Read from `offset`, which is inside the file, to the end. Raises `FileGone` or `StorageUnavailable`."""
        with _translated():
            found = await obstore.get_async(self._store, key, options={"range": {"offset": offset}})
            async for piece in found.stream(min_chunk_size=READ_BYTES):
                yield bytes(piece)

    async def delete(self, key: str) -> None:
        """Succeeds also if the file does not exist. Raises `StorageUnavailable`."""
        try:
            with _translated():
                await obstore.delete_async(self._store, key)
        except FileGone:
            pass

    async def check(self) -> None:
        """For readiness. Raises `StorageUnavailable`."""
        try:
            with _translated():
                await obstore.head_async(self._store, "imports/check")
        except FileGone:
            pass

    @property
    def _store(self) -> ObjectStore:
        if self._opened is None:
            self._opened = _open(self._url)
        return self._opened


def _open(url: str) -> ObjectStore:
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query))
    plain = urlunsplit(parts._replace(query=""))
    if parts.scheme != "s3":
        return from_url(plain, mkdir=True)
    config: Any = {name: parameters[name] for name in ("endpoint", "region") if name in parameters}
    client: Any = {"timeout": TIMEOUT, "allow_http": parameters.get("endpoint", "").startswith("http://")}
    retries: Any = {"max_retries": 3, "retry_timeout": TIMEOUT}
    return from_url(plain, config=config, client_options=client, retry_config=retries)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        if isinstance(error, FileNotFoundError) and NO_BUCKET not in str(error):
            raise FileGone(str(error).splitlines()[0]) from error
        log.warning("the storage fails", error=repr(error)[:500])
        raise StorageUnavailable from error


class Chunk(NamedTuple):
    records: list[Record]
    end: Offset


async def chunks(storage: Storage, key: str, size: int, place: Offset) -> AsyncGenerator[Chunk]:
    """Read from `place` on, at most `MAX_ROWS` records at a time, parsed in a thread; a chunk may be empty.

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
        raise FileGone("the file has become shorter")


async def _pieces(storage: Storage, key: str, size: int, offset: int) -> AsyncGenerator[bytes]:
    if offset < size:  # a range must not begin at the end
        async for piece in storage.read(key, offset):
            yield piece
