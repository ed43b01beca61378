"""The report `orders`: a row for each order that a user placed in a period."""

from fastapi import APIRouter, Request, Response

from shared.contracts.reports import CSV, Form, From, Period, To
from shared.downloads.csv_export import CsvResponse, Export, ExporterDep, formula_safe_sql
from shared.http.identity import CallerDep
from shared.money import decimal_sql

TIME = '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\''

# By id, which is by time: the order of the primary key, so that nothing is sorted and the first rows arrive at once.
_ORDERS = f"""
    SELECT orders.id,
        to_char(created_at AT TIME ZONE 'UTC', {TIME}) AS created_at,
        to_char(updated_at AT TIME ZONE 'UTC', {TIME}) AS updated_at,
        status, currency, {{total}} AS total, item_count, bought.items
    FROM orders CROSS JOIN LATERAL (
        SELECT string_agg({formula_safe_sql("name")} || ' \u00d7' || quantity, '; ' ORDER BY position) AS items
        FROM order_items WHERE order_items.user_id = orders.user_id AND order_id = orders.id
    ) AS bought
    WHERE orders.user_id = $1 AND created_at >= $2 AND created_at < $3
    ORDER BY orders.id
"""  # noqa: S608  constants
ORDERS: dict[Form, str] = {
    "spreadsheet": _ORDERS.format(total=decimal_sql("total", "currency")),
    "data": _ORDERS.format(total="total"),
}

router = APIRouter(prefix="/internal/reports", tags=["reports"])


@router.head("/orders", include_in_schema=False)
@router.get("/orders", response_class=Response, responses=CSV)
async def orders_report(
    request: Request, caller: CallerDep, exporter: ExporterDep, first: From, last: To, form: Form = "spreadsheet"
) -> CsvResponse:
    """Export the caller's own orders that were placed on these UTC days, both included, oldest first."""
    period = Period(first, last)
    export = Export("orders", ORDERS[form], (caller.user_id, *period.moments), period.filename("orders"), form)
    return exporter.response(request, caller.user_id, export)
