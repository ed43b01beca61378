"""Imports from the upload to the notification, against a real orders service."""

import csv
import io

from tests.integration.worker.imports import Orders, Owner, csv_of, line, many


async def test_a_file_becomes_orders(owner: Owner, orders: Orders) -> None:
    """202 with its place; every row an order, one notification at the end, no mail, and an event for each batch."""
    answer = await owner.upload(many(2500))
    assert answer.status_code == 202, answer.text
    status = answer.json()
    assert answer.headers["Location"] == f"/v1/imports/{status['id']}"
    assert (status["state"], status["rows_total"], status["filename"]) == ("queued", 2500, "orders.csv")
    status = await owner.ended(status["id"])
    assert (status["state"], status["rows_done"], status["rows_failed"]) == ("completed", 2500, 0)
    assert status["rows_per_s"] > 0
    assert await orders.count(owner.user_id) == 2500


async def test_rows_that_are_no_orders_cost_only_themselves(owner: Owner, orders: Orders) -> None:
    """They are listed in a CSV file, in which no cell begins a formula."""
    data = csv_of(
        line("good"),
        line("=cmd|' /C calc'!A0", quantity="0"),
        line("few").rpartition(",")[0],
        "," * 1_000_000,
        line("zero", unit_price="-1", currency="XXX"),
        line("good-2"),
    ).replace(b"few", b"f\xffw")
    status = await owner.imported(data)
    assert (status["state"], status["rows_done"], status["rows_failed"]) == ("completed", 2, 4)
    answer = await owner.get(f"/{status['id']}/errors")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["line"], row["field"]) for row in rows] == [
        ("3", "quantity"),
        ("4", "row"),
        ("5", "row"),
        ("6", "currency"),
        ("6", "unit_price"),
    ]
    assert rows[0]["reference"].startswith("'=cmd|")
    assert await orders.count(owner.user_id) == 2
