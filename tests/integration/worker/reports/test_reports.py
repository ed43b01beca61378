"""Reports over HTTP: what users want to download, and the analytics themselves."""

import csv
import io
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from shared.clock import now
from shared.contracts import events
from shared.http.identity import USER_ID_HEADER, USER_ROLE_HEADER
from shared.ids import new_id
from tests.support.worker.world import World, changed, created

JANUARY = {"kind": "orders", "from": "2026-01-01", "to": "2026-01-31"}


def as_user(user_id: UUID) -> dict[str, str]:
    return {USER_ID_HEADER: str(user_id), USER_ROLE_HEADER: "user"}


async def post(world: World, user_id: UUID, body: object) -> httpx.Response:
    return await world.http.post("/v1/reports", json=body, headers=as_user(user_id))


async def test_a_report_is_made_read_and_listed(world: World) -> None:
    """201 with its place, and there the same."""
    user_id = uuid4()
    made = await post(world, user_id, JANUARY)
    assert made.status_code == 201
    assert made.json().items() >= JANUARY.items()
    assert made.headers["Location"] == f"/v1/reports/{made.json()['id']}"
    assert (await world.http.get(made.headers["Location"], headers=as_user(user_id))).json() == made.json()
    listed = (await world.http.get("/v1/reports", headers=as_user(user_id))).json()
    assert listed == {"items": [made.json()], "next_cursor": None}


async def test_pages_of_reports(world: World) -> None:
    """Page by page, newest first, each report is there once."""
    user_id = uuid4()
    made = [(await post(world, user_id, JANUARY | {"kind": kind})).json()["id"] for kind in KINDS]
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while query.get("cursor", "first"):
        page = (await world.http.get("/v1/reports", params=query, headers=as_user(user_id))).json()
        found += [report["id"] for report in page["items"]]
        query["cursor"] = page["next_cursor"]
    assert found == made[::-1]


KINDS = ("orders", "analytics", "orders", "orders", "analytics")


async def test_anothers_report_does_not_exist(world: World) -> None:
    """Not even for operators; the answer is that of an id that never was."""
    path = (await post(world, uuid4(), JANUARY)).headers["Location"]
    admin = as_user(uuid4()) | {USER_ROLE_HEADER: "admin"}
    answers = [
        await world.http.get(path, headers=as_user(uuid4())),
        await world.http.get(path, headers=admin),
        await world.http.get(f"/v1/reports/{new_id()}", headers=as_user(uuid4())),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "report_not_found")] * 3


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "secrets"}, "kind"),
        ({"kind": None}, "kind"),
        ({"from": "2026-02-01"}, "to"),
        ({"from": "2016-01-01"}, "to"),
        ({"from": "x"}, "from"),
        ({"from": 1767225600}, "from"),
        ({"from": "1767225600"}, "from"),
        ({"from": "1767225600000"}, "from"),
        ({"from": "2026-01-01\n"}, "from"),
        ({"from": "2026-01-01T\x00"}, "from"),
        ({"from": "2026-01-01T24:61:00Z"}, "from"),
        ({"from": "2026-W01-1"}, "from"),
        ({"from": "2026-01-01T00:00:00"}, "from"),
        ({"to": "9999-12-31"}, "to"),
        ({"to": "9999-12-31T23:59:59-23:00"}, "to"),
        ({"to": "2026-02-30"}, "to"),
        ({"to": ["2026-02-01"]}, "to"),
        ({"user_id": "1"}, "user_id"),
        ({"id": "1"}, "id"),
        ({"first_day": "2026-01-01"}, "first_day"),
    ],
)
async def test_a_wrong_report_is_refused_by_name(world: World, change: dict[str, Any], field: str) -> None:
    """422 that says which field."""
    answer = await post(world, uuid4(), JANUARY | change)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_a_moment_stands_for_its_day(world: World) -> None:
    """In UTC, whatever its offset."""
    body = JANUARY | {"from": "2026-01-01T23:30:00-05:00", "to": "2026-01-31T12:00:00Z"}
    made = (await post(world, uuid4(), body)).json()
    assert (made["from"], made["to"]) == ("2026-01-02", "2026-01-31")


async def test_analytics_by_day(world: World) -> None:
    """A row for each day and currency with orders, of the caller alone; what was cancelled is no revenue."""
    user_id = uuid4()
    today, earlier = now(), now() - timedelta(days=3)
    cancelled = created(user_id, 700, created_at=today, mail=False)
    told = await world.publish(
        created(user_id, 1250, created_at=earlier, mail=False),
        created(user_id, 50, currency="USD", created_at=earlier, mail=False),
        created(uuid4(), 99, created_at=earlier, mail=False),
        cancelled,
        changed(events.OrderCancelled, cancelled, "created"),
    )
    await world.until_all(told, analytics="done")
    period = {"from": f"{earlier:%Y-%m-%d}", "to": f"{today:%Y-%m-%d}"}
    answer = await world.http.get("/internal/reports/analytics", params=period, headers=as_user(user_id))
    assert list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))) == [
        ["day", "currency", "orders", "revenue"],
        [f"{earlier:%Y-%m-%d}", "EUR", "1", "12.50"],
        [f"{earlier:%Y-%m-%d}", "USD", "1", "0.50"],
        [f"{today:%Y-%m-%d}", "EUR", "1", "0.00"],
    ]
    data = await world.http.get(
        "/internal/reports/analytics", params=period | {"form": "data"}, headers=as_user(user_id)
    )
    assert [row["revenue"] for row in csv.DictReader(io.StringIO(data.text))] == ["1250", "50", "0"]
    name = f"analytics-{period['from']}-{period['to']}.csv"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'


async def test_reports_go_with_their_user(world: World) -> None:
    """Nothing that a deleted user asked for is kept."""
    user_id = await world.known()
    await post(world, user_id, JANUARY)
    [event_id] = await world.publish(events.UserDeleted(user_id=user_id, revision=2, deleted_at=now()))
    await world.until(event_id, recipients="done")
    assert await world.fetch("SELECT * FROM reports WHERE user_id = $1", user_id) == []
