"""The file in a multipart form, streamed as it arrives."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import ClassVar
from uuid import UUID

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from services.worker.imports import repository
from services.worker.imports.leases import file_key
from services.worker.imports.models import Import
from services.worker.imports.records import Head
from services.worker.imports.repository import ImportNotFound
from services.worker.imports.storage import Storage
from services.worker.ledger.job import storable
from shared.db.engine import Database
from shared.downloads.slots import DownloadSlots
from shared.errors import DashboardError, InvalidInput, Unavailable, UnsupportedMediaType
from shared.ids import new_id
from shared.observability.logs import get_logger
from shared.observability.pools import POOLS

MAX_NAME = 255


class FormFile:
    """The file in one field of a form, which is required. Other fields are ignored."""

    def __init__(self, request: Request, field: str) -> None:
        self._request = request
        self._field = field
        self._header: list[bytes] = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._in_file = False
        self._found = False
        self._ended = False
        self._pieces: list[bytes] = []
        self.name: str | None = None
        """The client's file name; known with the first piece."""

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises `InvalidInput`, or 415 for a body of another kind."""
        parser = self._parser()
        async for chunk in self._request.stream():
            try:
                parser.write(chunk)
            except FormParserError as broken:
                raise InvalidInput.of(self._field, "is not in a well-formed multipart body") from broken
            if self._pieces:
                yield b"".join(self._pieces)
                self._pieces.clear()
        if not self._ended:
            raise InvalidInput.of(self._field, "is missing" if not self._found else "is cut off")
        if not self._found:
            raise InvalidInput.of(self._field, "is missing")

    def _parser(self) -> MultipartParser:
        kind, options = parse_options_header(self._request.headers.get("content-type"))
        if kind != b"multipart/form-data":
            raise UnsupportedMediaType
        try:
            return MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except (KeyError, FormParserError) as broken:
            raise InvalidInput.of("Content-Type", "must have a valid boundary") from broken

    def _begin(self) -> None:
        self._headers = {}
        self._in_file = False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._in_file = options.get(b"name") == self._field.encode()
        if not self._in_file:
            return
        if self._found:
            raise InvalidInput.of(self._field, "is there more than once")
        self._found = True
        self.name = _name(options)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        self._ended = True


def _name(options: Mapping[bytes, bytes]) -> str | None:
    name = options.get(b"filename", b"").decode("utf-8", "replace")
    return storable(name, MAX_NAME) or None


log = get_logger(__name__)

FIELD = "file"
FORM_BYTES = 64 * 1024
"""The size limit of a form in addition to its file."""
MOST_AT_ONCE = 16
"""Concurrent uploads of one process. Each holds up to three parts of the storage, 15 MiB."""
PER_USER = 4
"""Concurrent uploads of one user."""
MAX_OPEN_IMPORTS = 100
"""Pending and running imports of one user; one more is answered 409."""
SLOW = "the upload was slow, and another user needed the place"


class TooManyUploads(DashboardError):
    status, code, title = 429, "too_many_uploads", "Other files of this user are still being uploaded"
    headers: ClassVar = {"Retry-After": "5"}


class UploadsBusy(Unavailable):
    code, title = "uploads_busy", "Too many files are being uploaded; try again"
    headers: ClassVar = {"Retry-After": "5"}


class Uploads:
    """A maximum number of uploads at a time; accounts share the places."""

    def __init__(self, db: Database, storage: Storage, max_bytes: int) -> None:
        self._db = db
        self._storage = storage
        self._max_bytes = max_bytes
        self._places = DownloadSlots(
            MOST_AT_ONCE, PER_USER, own_full=TooManyUploads, all_full=UploadsBusy, lost=partial(UploadsBusy, SLOW)
        )
        POOLS.watch("import_uploads", lambda: self._places.taken, lambda: MOST_AT_ONCE)

    async def receive(self, user_id: UUID, request: Request) -> Import:
        """Store the file in the request's form, and queue its import.

        Raises `TooManyUploads`, `UploadsBusy`, `TooManyImports`, `InvalidInput`, `StorageUnavailable`, 413, or
        `ImportNotFound` if the user was deleted during the upload.
        """
        async with self._places.place(user_id) as place:
            return await self._receive(user_id, Request(request.scope, place.heard(request.receive)))

    async def _receive(self, user_id: UUID, request: Request) -> Import:
        import_id = new_id()
        form, head = FormFile(request, FIELD), Head()
        async with self._db.begin() as session:
            await repository.begin(session, user_id, import_id, MAX_OPEN_IMPORTS)
        try:
            await self._storage.write(file_key(import_id), self._checked(form, head))
        except ClientDisconnect as gone:
            log.info("client disconnected during the upload")
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
