"""GET /internal/reports/orders: a user's own orders of a period as CSV."""

import csv
import gzip
import io
import re
from datetime import datetime
from pathlib import Path

import pytest
from fastapi import FastAPI

from services.orders import service
from services.orders.schemas import NewOrder
from shared.db.engine import Database
from shared.downloads.csv_export import formula_safe
from tests.support.orders import BODY, ITEM, Visitor
from tests.support.spreadsheet import cells, needs_libreoffice

PATH = "/internal/reports/orders"
JANUARY = {"from": "2026-01-01", "to": "2026-01-31"}


async def place_at(db: Database, user: Visitor, *moments: str, **more: object) -> list[str]:
    """Place orders at these times, and return their ids."""
    async with db.connection() as connection:
        body = NewOrder.model_validate(BODY | more)
        return [
            str((await service.place(connection, user.user_id, body, created_at=datetime.fromisoformat(moment))).id)
            for moment in moments
        ]


async def download(user: Visitor, **more: str) -> list[dict[str, str]]:
    answer = await user.get(PATH, params=JANUARY | more)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


async def test_a_report_has_a_row_for_each_order_of_the_period(app: FastAPI, db: Database, user: Visitor) -> None:
    """Both days are complete, in UTC; the oldest order is first; other users' orders are not included."""
    await place_at(db, user, "2025-12-31T23:59:59.999999+00:00", "2026-02-01T00:00:00+00:00")
    placed = await place_at(db, user, "2026-01-01T00:00:00+00:00", "2026-01-31T23:59:59.999999+00:00")
    await place_at(db, Visitor(app), "2026-01-15T00:00:00+00:00")
    rows = await download(user)
    assert [row["id"] for row in rows] == placed
    assert rows[1] | {"updated_at": ""} == {
        "id": placed[1],
        "created_at": "2026-01-31T23:59:59.999999Z",
        "updated_at": "",
        "status": "created",
        "currency": "EUR",
        "total": "21.99",
        "item_count": "3",
        "items": "Lamp \u00d72; Lamp \u00d71",
    }


async def test_a_report_is_an_attachment_named_for_its_period(user: Visitor) -> None:
    """A browser saves it under a meaningful name; for a period without orders it has only its header."""
    answer = await user.get(PATH, params=JANUARY)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="orders-2026-01-01-2026-01-31.csv"'
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.text == "\ufeffid,created_at,updated_at,status,currency,total,item_count,items\n"


async def test_a_head_tells_the_name_and_runs_no_query(user: Visitor) -> None:
    """The response has the same headers, without rows."""
    answer = await user.head(PATH, params=JANUARY)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="orders-2026-01-01-2026-01-31.csv"'
    assert answer.content == b""


async def test_amounts_have_the_decimals_of_their_currency(db: Database, user: Visitor) -> None:
    """Amounts for people have decimals. Programs request minor units, without a byte order mark."""
    for second, currency in enumerate(("EUR", "JPY", "HUF", "KWD")):
        await place_at(db, user, f"2026-01-15T00:00:{second:02}+00:00", currency=currency)
    assert [row["total"] for row in await download(user)] == ["21.99", "2199", "21.99", "2.199"]
    answer = await user.get(PATH, params=JANUARY | {"form": "data"})
    assert answer.content.startswith(b"id,")
    assert [row["total"] for row in csv.DictReader(io.StringIO(answer.text))] == ["2199"] * 4


async def test_no_cell_starts_a_formula(db: Database, user: Visitor) -> None:
    """Text that a spreadsheet would calculate stays text, in the first item and in the second."""
    names = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", '="a",\n"b"', "\uff1d1", "tea; =1"]
    for minute, name in enumerate(names):
        await place_at(db, user, f"2026-01-15T00:{minute:02}:00+00:00", items=[ITEM, ITEM | {"name": name}])
        await place_at(db, user, f"2026-01-15T00:{minute:02}:30+00:00", items=[ITEM | {"name": name}])
    rows = await download(user)
    expected = [(f"Lamp \u00d72; {formula_safe(name)} \u00d72", f"{formula_safe(name)} \u00d72") for name in names]
    assert [row["items"] for row in rows] == [cell for pair in expected for cell in pair]
    assert not any(re.search(r"(^|; ?)[=+@\uff1d-]", row["items"]) for row in rows)


@needs_libreoffice
async def test_a_spreadsheet_shows_what_is_meant(db: Database, user: Visitor, tmp_path: Path) -> None:
    """LibreOffice shows text in any script, amounts as numbers, and no formula, even where semicolons separate
    cells."""
    names = ("Grüner Tee", "=1+1", "\uff1d1+1", "tea; =1+1", "\t=1+1", "@x\n=1+1")
    await place_at(
        db, user, "2026-01-15T00:00:00+00:00", items=[ITEM | {"name": name, "unit_price": 1051} for name in names]
    )
    content = (await user.get(PATH, params=JANUARY)).content
    [header, row] = cells(content, tmp_path)
    shown = dict(zip(header, row, strict=True))
    assert header[0] == "id"
    assert (shown["currency"], shown["total"]) == ("EUR", 126.12)
    assert str(shown["items"]).startswith("Grüner Tee \u00d72; '=1+1 \u00d72; '")
    assert None not in [cell for row in cells(content, tmp_path, ";") for cell in row]


async def test_a_report_is_compressed_when_asked(db: Database, user: Visitor) -> None:
    """The content is the same, and the header declares the encoding."""
    await place_at(db, user, *["2026-01-15T00:00:00+00:00"] * 50)
    plain = await user.get(PATH, params=JANUARY, headers={"Accept-Encoding": "identity"})
    async with user.stream("GET", PATH, params=JANUARY, headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert "Content-Encoding" not in plain.headers
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content) / 2


@pytest.mark.parametrize(
    ("query", "field"), [({"from": "2026-01-01"}, "to"), (JANUARY | {"to": "9999-12-31"}, "to"), ({"to": "x"}, "from")]
)
async def test_a_wrong_period_is_refused_by_name(user: Visitor, query: dict[str, str], field: str) -> None:
    """The response is 422 and names the parameter."""
    answer = await user.get(PATH, params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
