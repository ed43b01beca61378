"""Receiving a file: it goes to the storage as it comes in."""

from collections.abc import AsyncIterator
from functools import partial
from typing import ClassVar
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from services.worker.imports import repository
from services.worker.imports.form import FormFile
from services.worker.imports.head import Head
from services.worker.imports.leases import file_key
from services.worker.imports.repository import ImportNotFound
from services.worker.imports.storage import Storage
from services.worker.models import Import
from shared.db import Database
from shared.errors import DashboardError, Unavailable
from shared.ids import new_id
from shared.logs import get_logger
from shared.places import Places
from shared.pools import POOLS

log = get_logger(__name__)

FIELD = "file"
FORM_BYTES = 64 * 1024
"""What a form may have beside its file."""
MOST_AT_ONCE = 16
"""Uploads of one process. Each holds up to three parts of the storage, 15 MiB."""
PER_USER = 4
SLOW = "the file came slowly, and another user needed the place"


class TooManyUploads(DashboardError):
    status, code, title = 429, "too_many_uploads", "This user's other files are still on their way"
    headers: ClassVar = {"Retry-After": "5"}


class UploadsBusy(Unavailable):
    code, title = "uploads_busy", "As many files as may be are on their way; try again"
    headers: ClassVar = {"Retry-After": "5"}


class Uploads:
    """So many at the same time and no more; accounts share the places."""

    def __init__(self, db: Database, storage: Storage, max_bytes: int, most_per_user: int) -> None:
        self._db = db
        self._storage = storage
        self._max_bytes = max_bytes
        self._most = most_per_user
        self._places = Places(
            MOST_AT_ONCE, PER_USER, own_full=TooManyUploads, all_full=UploadsBusy, lost=partial(UploadsBusy, SLOW)
        )
        POOLS.watch("import_uploads", lambda: self._places.taken, lambda: MOST_AT_ONCE)

    async def receive(self, user_id: UUID, request: Request) -> Import:
        """The import of the file in the request's form, which is stored and waits to be carried out.

        Raises `TooManyUploads`, `UploadsBusy`, `TooManyImports`, `InvalidInput`, `StorageUnavailable`, 413, or
        `ImportNotFound` when the user was deleted meanwhile.
        """
        async with self._places.place(user_id) as place:
            return await self._receive(user_id, Request(request.scope, place.heard(request.receive)))

    async def _receive(self, user_id: UUID, request: Request) -> Import:
        import_id = new_id()
        form, head = FormFile(request, FIELD), Head()
        async with self._db.begin() as session:
            await repository.begin(session, user_id, import_id, self._most)
        try:
            await self._storage.write(file_key(import_id), self._checked(form, head))
        except ClientDisconnect as gone:
            log.info("the client went away during its upload")
            raise HTTPException(400) from gone
        try:
            async with self._db.begin() as session:
                return await repository.enqueue(session, user_id, import_id, form.name, head)
        except ImportNotFound:
            await self._storage.delete(file_key(import_id))
            raise

    async def _checked(self, form: FormFile, head: Head) -> AsyncIterator[bytes]:
        async for piece in form.pieces():
            head.see(piece)
            if head.bytes > self._max_bytes:
                raise HTTPException(413)
            yield piece
        head.end()
