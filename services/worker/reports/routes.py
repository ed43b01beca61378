"""Reports: their definitions, and the download of the kind `analytics`."""

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Request, Response

from services.worker.reports import repository as reports
from services.worker.reports.repository import NewReport, Report, ReportNotFound
from shared.contracts.reports import CSV, Form, From, Period, To
from shared.db.dependency import DatabaseDep
from shared.downloads.csv_export import CsvResponse, Export, ExporterDep
from shared.http.identity import CallerDep
from shared.http.openapi import described
from shared.http.pagination import Cursor, Limit, Page

router = APIRouter(prefix="/v1/reports", tags=["reports"])
internal = APIRouter(prefix="/internal/reports", tags=["reports"])


@router.post("", status_code=HTTPStatus.CREATED, **described("create_report", "Create a report"))
async def order_report(body: NewReport, caller: CallerDep, db: DatabaseDep, response: Response) -> Report:
    """Create a report. Its rows are read when it is downloaded."""
    async with db.begin() as session:
        made = await reports.add(session, caller.user_id, body)
    response.headers["Location"] = f"/v1/reports/{made.id}"
    return made


@router.get("", **described("list_reports", "List your reports"))
async def list_reports(caller: CallerDep, db: DatabaseDep, cursor: Cursor = None, limit: Limit = 20) -> Page[Report]:
    """List your own reports, newest first."""
    async with db.begin() as session:
        return await reports.page(session, caller.user_id, cursor, limit)


@router.get("/{report_id}", **described("read_report", "Read a report", ReportNotFound))
async def read_report(report_id: UUID, caller: CallerDep, db: DatabaseDep) -> Report:
    """Return one of your own reports."""
    async with db.begin() as session:
        return await reports.get(session, caller.user_id, report_id)


@internal.head("/analytics", include_in_schema=False)
@internal.get("/analytics", response_class=Response, responses=CSV)
async def analytics_report(
    request: Request, caller: CallerDep, exporter: ExporterDep, first: From, last: To, form: Form = "spreadsheet"
) -> CsvResponse:
    """Export the caller's own orders by UTC day and currency, both days included; days without orders have no row."""
    name = Period(first, last).filename("analytics")
    export = Export("analytics", reports.ANALYTICS[form], (caller.user_id, first, last), name, form)
    return exporter.response(request, caller.user_id, export)
