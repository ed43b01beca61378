"""Creates thumbnails, each picture in its own process, with a maximum number at a time."""

import asyncio
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from prometheus_client import Counter, Gauge, Histogram

from services.users.avatars import thumbnails
from services.users.avatars.errors import TooManyPictures, UnusablePicture
from shared.downloads.slots import DownloadSlot, DownloadSlots
from shared.observability.logs import get_logger
from shared.observability.pools import POOLS

PROGRAM = (sys.executable, "-I", "-m", thumbnails.__name__)

MADE = Histogram(
    "users_picture_seconds", "Duration of thumbnails, including the wait.", buckets=(0.1, 0.2, 0.5, 1, 2, 5, 10)
)
REFUSED = Counter("users_pictures_refused_total", "Pictures that were refused, by reason.", ["reason"])
IN_HAND = Gauge("users_pictures_in_hand", "Pictures that are being uploaded, waiting or processed.")

log = get_logger(__name__)


class Pictures:
    """Accepts up to `processes + queue` pictures at a time, one per user; more are refused. A slow upload is
    displaced by another user's."""

    TIMEOUT_S = 12.0
    """The time for waiting and processing: the gateway waits 15 s, upload included."""

    def __init__(self, processes: int, queue: int) -> None:
        most = processes + queue
        self._working = asyncio.Semaphore(processes)
        self._places = DownloadSlots(most, 1, TooManyPictures, TooManyPictures, lost=TooManyPictures, patience_s=0)
        POOLS.watch("pictures", lambda: self._places.taken, lambda: most)

    @asynccontextmanager
    async def place(self, user_id: UUID) -> AsyncIterator[DownloadSlot]:
        """Hold a place from before the upload is read, so that waiting pictures are limited. Raises
        `TooManyPictures`, also if another user takes the place."""
        try:
            async with self._places.place(user_id) as place:
                with IN_HAND.track_inprogress():
                    yield place
        except TooManyPictures:
            REFUSED.labels("busy").inc()
            raise

    async def thumbnails(self, content: bytes) -> Mapping[int, bytes]:
        """Return the thumbnails by size, as WebP. Raises `UnusablePicture`, and `TooManyPictures` if its turn does
        not come in time."""
        try:
            with MADE.time():
                async with asyncio.timeout(self.TIMEOUT_S), self._working:
                    made = await _made(content)
        except TimeoutError:
            raise TooManyPictures from None
        except UnusablePicture:
            REFUSED.labels("unusable").inc()
            raise
        return dict(zip(thumbnails.SIZES, made, strict=True))


async def _made(content: bytes) -> list[bytes]:
    """Run the program, without an environment, which contains secrets."""
    process = await asyncio.create_subprocess_exec(*PROGRAM, stdin=PIPE, stdout=PIPE, stderr=PIPE, env={})
    try:
        output, told = await process.communicate(content)
    finally:
        await _end(process)
    if process.returncode == thumbnails.REFUSED:
        raise UnusablePicture.of("picture", told.decode())
    if process.returncode:
        log.warning("picture crashed its decoder", status=process.returncode, told=told[-500:].decode(errors="replace"))
        raise UnusablePicture.of("picture", "cannot be decoded within the limits on time and memory")
    return _unpacked(output)


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _unpacked(output: bytes) -> list[bytes]:
    pictures = []
    while output:
        (length,) = struct.unpack_from("!I", output)
        pictures.append(output[4 : 4 + length])
        output = output[4 + length :]
    return pictures


async def _pictures(request: Request) -> Pictures:
    pictures: Pictures = request.app.state.pictures
    return pictures


PicturesDep = Annotated[Pictures, Depends(_pictures)]
"""The one that the lifespan has made."""
