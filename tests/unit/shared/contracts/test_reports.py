"""The contract between the gateway and the owners of reports."""

from datetime import UTC, date, datetime

import msgspec

from shared.contracts.reports import Period, Report


def test_a_period_has_its_last_day_whole() -> None:
    """A period starts at the first midnight and ends at the one after the last day, in UTC."""
    period = Period(date(2026, 1, 1), date(2026, 1, 31))
    assert period.moments == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert period.filename("orders") == "orders-2026-01-01-2026-01-31.csv"


def test_a_report_says_where_its_rows_are() -> None:
    """The definition is read from the worker's response, which may have more fields."""
    told = b'{"id": "1", "kind": "analytics", "from": "2026-01-01", "to": "2026-01-31", "created_at": ""}'
    report = msgspec.json.decode(told, type=Report)
    assert report.target("data") == "/internal/reports/analytics?from=2026-01-01&to=2026-01-31&form=data"
