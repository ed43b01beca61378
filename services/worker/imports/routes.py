"""Imports over HTTP."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from services.worker.imports import repository
from services.worker.imports.models import Import, ImportRowError
from services.worker.imports.records import HEADER
from services.worker.imports.repository import ImportEnded, ImportNotFound, TooManyImports, eta_s
from services.worker.imports.storage import StorageUnavailable
from services.worker.imports.upload import TooManyUploads, Uploads, UploadsBusy
from shared.db.dependency import DatabaseDep
from shared.downloads.csv_export import BYTE_ORDER_MARK, formula_safe
from shared.errors import UnsupportedMediaType
from shared.http.identity import CallerDep
from shared.http.openapi import described
from shared.http.pagination import Cursor, Limit, Page, decode_cursor, page_of

router = APIRouter(prefix="/v1/imports", tags=["imports"])

FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "contentMediaType": "text/csv",
                            "description": f"CSV in UTF-8 with the header `{HEADER}`, one order per row",
                        }
                    },
                }
            }
        },
    }
}
ERROR_COLUMNS = ("line", "reference", "field", "message")


class ImportStatus(BaseModel):
    """The progress of an import. `rows_done` have become orders, including `rows_repeated` that already existed."""

    id: UUID
    state: Literal["queued", "running", "completed", "failed", "cancelled"]
    filename: str | None = Field(examples=["orders.csv"])
    rows_total: int = Field(
        description="counted during the upload; blank lines are subtracted at the end", examples=[1000]
    )
    rows_done: int = Field(examples=[998])
    rows_repeated: int
    rows_failed: int = Field(examples=[2])
    errors_kept: int = Field(description="the number of errors in `/errors`; a row may have several", examples=[2])
    rows_per_s: float | None
    eta_s: int | None
    cancel_requested: bool
    error: str | None = Field(description="why it failed, or what it waits for")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Import) -> Self:
        rate = None if row.rows_per_s is None else round(row.rows_per_s, 1)
        eta = eta_s(row.state, row.rows_total, row.rows_done, row.rows_failed, row.rows_per_s)
        fields = {name: getattr(row, name) for name in cls.model_fields.keys() - {"rows_per_s", "eta_s"}}
        return cls(**fields, rows_per_s=rate, eta_s=eta)


class RowError(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    line: int = Field(description="where the row begins in the file, which has the header in line 1")
    reference: str = Field(examples=["2026-117"])
    field: str = Field(description="the column, or `row` if the error is about the whole row", examples=["quantity"])
    message: str = Field(examples=["must be a whole number"])


class RowErrors(BaseModel):
    """In the order of the file."""

    items: list[RowError]


async def _uploads(request: Request) -> Uploads:
    uploads: Uploads = request.app.state.uploads
    return uploads


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=FORM,
    **described(
        "import_orders",
        "Import a file of orders",
        TooManyImports,
        TooManyUploads,
        UnsupportedMediaType,
        UploadsBusy,
        StorageUnavailable,
    ),
)
async def import_orders(
    caller: CallerDep, request: Request, response: Response, uploads: Annotated[Uploads, Depends(_uploads)]
) -> ImportStatus:
    """Import a file of orders. Each `reference` becomes one order, however often it is imported: a file may be sent
    again. Imported orders are counted like others; no mails are sent for them."""
    row = await uploads.receive(caller.user_id, request)
    response.headers["Location"] = f"/v1/imports/{row.id}"
    return ImportStatus.of(row)


@router.get("", **described("list_imports", "List your imports"))
async def list_imports(
    caller: CallerDep, db: DatabaseDep, limit: Limit = 20, cursor: Cursor = None
) -> Page[ImportStatus]:
    """List your own imports, newest first."""
    before = decode_cursor(cursor)
    async with db.begin() as session:
        rows = await repository.page(session, caller.user_id, before, limit)
    items, next_cursor = page_of(rows, limit, lambda row: row.id)
    return Page(items=[ImportStatus.of(row) for row in items], next_cursor=next_cursor)


@router.get("/{import_id}", **described("read_import", "Read the progress of an import", ImportNotFound))
async def read_import(import_id: UUID, caller: CallerDep, db: DatabaseDep) -> ImportStatus:
    """Return the progress of an import."""
    async with db.begin() as session:
        return ImportStatus.of(await repository.get(session, caller.user_id, import_id))


@router.post("/{import_id}/cancel", **described("cancel_import", "Cancel an import", ImportNotFound, ImportEnded))
async def cancel_import(import_id: UUID, caller: CallerDep, db: DatabaseDep, request: Request) -> ImportStatus:
    """Cancel an own import. A running one stops after the current rows; imported orders stay."""
    async with db.begin() as session:
        keep_s = request.app.state.import_keep_s
        return ImportStatus.of(await repository.cancel(session, caller.user_id, import_id, keep_s))


@router.get(
    "/{import_id}/row-errors", **described("read_row_errors", "Read the row errors of an import", ImportNotFound)
)
async def read_row_errors(import_id: UUID, caller: CallerDep, db: DatabaseDep, limit: Limit = 20) -> RowErrors:
    """Return the first errors of rows that could not be imported; `/errors` has all of them."""
    async with db.begin() as session:
        await repository.get(session, caller.user_id, import_id)
        rows = await repository.first_errors(session, caller.user_id, import_id, limit)
    return RowErrors(items=[RowError.model_validate(row) for row in rows])


@router.get(
    "/{import_id}/errors",
    response_class=StreamingResponse,
    **described(
        "read_import_errors",
        "Download the errors of an import",
        ImportNotFound,
        responses={HTTPStatus.OK: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "CSV"}},
    ),
)
async def read_errors(import_id: UUID, caller: CallerDep, db: DatabaseDep) -> StreamingResponse:
    """Return the errors of rows that could not be imported, as a CSV file: line, reference, field, message."""
    async with db.begin() as session:
        await repository.get(session, caller.user_id, import_id)
    pages = repository.errors(db, caller.user_id, import_id)
    first = await anext(pages)
    headers = {"Content-Disposition": f'attachment; filename="import-{import_id}-errors.csv"'}
    return StreamingResponse(_csv(first, pages), media_type="text/csv", headers=headers)


async def _csv(first: Sequence[ImportRowError], others: AsyncIterator[Sequence[ImportRowError]]) -> AsyncIterator[str]:
    yield BYTE_ORDER_MARK.decode() + _lines([ERROR_COLUMNS]) + _lines(map(_cells, first))
    async for page in others:
        yield _lines(map(_cells, page))


def _cells(error: ImportRowError) -> tuple[str, ...]:
    return str(error.line), formula_safe(error.reference), error.field, formula_safe(error.message)


def _lines(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
