"""The worker, for the tests that every service has in common."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from shared.contracts.internal_api import PERSONAL_DATA_PATH as EXPORT
from shared.db.migrations import metadata_of
from tests.support import hostile
from tests.support.services.description import Call, Service, Somebody, Thing
from tests.support.worker.world import app_of, settings_for

ANY = "00000000-0000-7000-8000-000000000000"
REPORT: dict[str, Any] = {"kind": "orders", "from": "2026-01-01", "to": "2026-01-31"}
WEBHOOK: dict[str, Any] = {"url": "https://example.com/hook", "events": ["order.created"]}
CSV = {"files": {"file": ("orders.csv", b"reference\n", "text/csv")}}
WRONG = [-1, hostile.INT64, 10**30, 1.5, True, "", "\0", "x" * 10_000, [], {}, [[]]]


def wrong() -> Iterator[tuple[str, str, Any]]:
    for path, good in (("/v1/reports", REPORT), ("/v1/webhooks", WEBHOOK)):
        for field in good:
            for value in WRONG:
                yield path, field, good | {field: value}


async def settle(app: FastAPI) -> Somebody:
    return Somebody(app)


def calls(somebody: Somebody, panel_headers: Mapping[str, str]) -> list[Call]:
    return [
        Call("GET", "/v1/notifications"),
        Call("POST", f"/v1/notifications/{ANY}/read"),
        Call("GET", "/v1/reports"),
        Call("POST", "/v1/reports", {"json": REPORT}),
        Call("GET", f"/v1/reports/{ANY}"),
        Call("GET", "/v1/imports"),
        Call("POST", "/v1/imports", CSV),
        Call("GET", f"/v1/imports/{ANY}"),
        Call("GET", f"/v1/imports/{ANY}/errors"),
        Call("POST", f"/v1/imports/{ANY}/cancel"),
        Call("GET", "/v1/webhooks"),
        Call("POST", "/v1/webhooks", {"json": WEBHOOK}),
        Call("GET", f"/v1/webhooks/{ANY}"),
        Call("PATCH", f"/v1/webhooks/{ANY}", {"json": {"enabled": False}}),
        Call("DELETE", f"/v1/webhooks/{ANY}"),
        Call("POST", f"/v1/webhooks/{ANY}/secret"),
        Call("POST", f"/v1/webhooks/{ANY}/test"),
        Call("GET", f"/v1/webhooks/{ANY}/deliveries"),
        Call("GET", f"/v1/webhooks/{ANY}/deliveries/{ANY}"),
        Call("POST", f"/v1/webhooks/{ANY}/deliveries/{ANY}/replay"),
        Call("GET", "/v1/admin/jobs", role="admin"),
        Call("GET", "/v1/admin/jobs/groups", role="admin"),
        Call("GET", "/v1/admin/jobs/history", role="admin"),
        Call("GET", "/v1/admin/workers", role="admin"),
        Call("GET", f"/v1/admin/jobs/email/{ANY}", role="admin"),
        Call("GET", EXPORT),
        *WORKER.panels_of(somebody, panel_headers),
    ]


def owned(table: str, insert: str, *rest: Call) -> Thing:
    """`rest` are the routes behind the thing's own address."""
    calls = [Call(call.method, f"/v1/{table}/{{}}{call.path}", call.request) for call in rest]
    return Thing(table, insert, calls)


WORKER = Service(
    name="worker",
    metadata=metadata_of("services.worker"),
    create_app=app_of,
    settings=settings_for,
    settle=settle,
    calls=calls,
    read=Call("GET", "/v1/notifications"),
    write=lambda: Call("POST", "/v1/reports", {"json": REPORT}),
    panels=("analytics", "notifications"),
    taking_json=(
        ("POST", "/v1/reports"),
        ("POST", "/v1/webhooks"),
        ("POST", "/v1/admin/jobs/replay"),
        ("POST", "/v1/admin/jobs/discard"),
        ("POST", "/v1/admin/jobs/cancel"),
        ("POST", "/v1/admin/jobs/retry"),
        ("POST", "/internal/panels"),
        ("POST", "/internal/panels/notifications"),
        ("POST", "/internal/panels/analytics"),
    ),
    lists=("/v1/notifications", "/v1/reports", "/v1/imports", "/v1/webhooks", "/v1/admin/jobs"),
    own=("/v1/reports", "/v1/webhooks", "/v1/imports"),
    naming=(
        ("POST", "/v1/notifications/{}/read"),
        ("POST", "/v1/imports/{}/cancel"),
        ("POST", "/v1/webhooks/{}/test"),
        ("GET", "/v1/reports/{}"),
        ("GET", "/v1/imports/{}"),
        ("GET", "/v1/webhooks/{}"),
        ("GET", "/v1/admin/jobs/mail/{}"),
    ),
    guarded=(
        ("POST", "/v1/reports"),
        ("POST", "/v1/webhooks"),
        ("POST", "/v1/admin/jobs/replay"),
        ("POST", "/v1/admin/jobs/discard"),
        ("POST", "/v1/admin/jobs/cancel"),
        ("POST", "/v1/admin/jobs/retry"),
        ("GET", "/v1/notifications"),
        ("GET", "/v1/reports"),
        ("GET", "/v1/imports"),
        ("GET", "/v1/webhooks"),
        ("GET", "/v1/admin/jobs"),
        ("GET", "/v1/admin/jobs/history"),
        ("GET", "/v1/admin/workers"),
    ),
    things=(
        owned(
            "notifications",
            """
            INSERT INTO notifications (user_id, id, kind, title, body, created_at)
            VALUES ($1, $2, 'x', 'x', 'x', now())
            """,
            Call("POST", "/read"),
        ),
        owned(
            "reports",
            """
            INSERT INTO reports (user_id, id, kind, first_day, last_day)
            VALUES ($1, $2, 'orders', '2026-01-01', '2026-01-02')
            """,
            Call("GET", ""),
        ),
        owned(
            "imports",
            "INSERT INTO imports (user_id, id, state) VALUES ($1, $2, 'failed')",
            Call("GET", ""),
            Call("GET", "/errors"),
            Call("POST", "/cancel"),
        ),
        owned(
            "webhooks",
            """
            INSERT INTO webhooks (user_id, id, url, lane, events, secret) VALUES ($1, $2, 'https://x', 'x', '{}', '')
            """,
            Call("GET", ""),
            Call("PATCH", "", {"json": {"enabled": False}}),
            Call("DELETE", ""),
            Call("POST", "/secret"),
            Call("POST", "/test"),
            Call("GET", "/deliveries"),
            Call("GET", f"/deliveries/{ANY}"),
            Call("POST", f"/deliveries/{ANY}/replay"),
        ),
    ),
    wrong=wrong,
    needs_broker=True,
)
