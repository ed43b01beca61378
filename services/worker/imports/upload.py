"""Receiving a file: it goes to the storage as it comes in."""

from collections.abc import AsyncIterator
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
from shared.ids import new_id
from shared.logs import get_logger

log = get_logger(__name__)

FIELD = "file"
FORM_BYTES = 64 * 1024
"""What a form may have beside its file."""


class Uploads:
    def __init__(self, db: Database, storage: Storage, max_bytes: int, most_per_user: int) -> None:
        self._db = db
        self._storage = storage
        self._max_bytes = max_bytes
        self._most = most_per_user

    async def receive(self, user_id: UUID, request: Request) -> Import:
        """The import of the file in the request's form, which is stored and waits to be carried out.

        Raises `TooManyImports`, `InvalidInput`, `StorageUnavailable`, 413, or `ImportNotFound` when the user was
        deleted meanwhile.
        """
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
