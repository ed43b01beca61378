"""Personal data: not in the logs, complete in the export, deleted with the account."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.support.stack.operators import Operator, dashboard, query
from tests.support.stack.running import PASSWORD, PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until

OWN = {"current_password": PASSWORD}

pytestmark = pytest.mark.e2e

NAME = "Philomena Unmistakable"
CSV = b"reference,currency,sku,name,quantity,unit_price,ordered_at\nr1,EUR,tea,Tea,1,100,2026-01-01T00:00:00Z\nbad\n"
MEMBERS = (
    *("user_id", "exported_at", "profile", "sessions", "api_keys", "identities", "audit", "avatars", "orders"),
    *(
        "notifications",
        "analytics",
        "mails",
        "notification_settings",
        "imports",
        "import_errors",
        "reports",
        "webhooks",
        "webhook_deliveries",
    ),
    "complete",
)
"""The members of an export, in their order."""


@pytest.fixture
def busy(stack: Stack) -> Iterator[Person]:
    """A user who has used every feature, successfully and not."""
    person = Person(stack, NAME)
    order = person.order()
    person.http.post(f"/v1/orders/{order['id']}/pay").raise_for_status()
    person.http.post("/v1/imports", files={"file": ("mine.csv", CSV)}).raise_for_status()
    person.http.post(
        "/v1/reports", json={"kind": "orders", "from": "2026-01-01", "to": "2026-01-02"}
    ).raise_for_status()
    hook = {"url": "http://127.0.0.1:9/hook", "events": ["order.paid"]}
    person.http.post("/v1/webhooks", json=hook).raise_for_status()
    person.http.put("/v1/me/notification-settings", json={"weekly_digest": True}).raise_for_status()
    person.http.post("/v1/users", json={"email": person.email, "name": NAME, "password": PASSWORD})
    person.http.patch("/v1/me", json={"name": NAME, "email": "not an address", "password": PASSWORD})
    person.http.post("/v1/tokens", data={"username": person.email, "password": f"{PASSWORD} wrong"})
    person.dashboard()
    wait_until(lambda: stack.mails(person.email), PATIENCE_S)
    wait_until(lambda: person.panel("analytics")["orders"] >= 2, PATIENCE_S)
    yield person
    person.http.close()


def test_logs_hold_no_personal_data(stack: Stack, busy: Person) -> None:
    """No log of any process contains the address, the name, a token or a password."""
    token = busy.http.headers["Authorization"].removeprefix("Bearer ")
    refused = httpx.get(f"{stack.url}/v1/me", headers={"Authorization": f"Bearer {token}x"}, timeout=PATIENCE_S)
    assert refused.status_code == 401
    form = {"username": busy.email, "password": PASSWORD}
    refresh = busy.http.post("/v1/tokens", data=form).raise_for_status().json()["refresh_token"]
    tokens = busy.http.post("/v1/tokens/refresh", json={"refresh_token": refresh}).raise_for_status().json()
    busy.http.post("/v1/tokens/refresh", json={"refresh_token": tokens["refresh_token"]}).raise_for_status()
    busy.http.post("/v1/tokens/refresh", json={"refresh_token": refresh})
    wait_until(lambda: "refresh token reused" in _logs(stack), PATIENCE_S)
    logs = _logs(stack)
    assert busy.id in logs
    for secret in (busy.email, NAME, PASSWORD, token, token.split(".")[2], refresh):
        assert secret not in logs
    for line in (stack.folder / "secrets.env").read_text().splitlines():
        assert line.partition("=")[2] not in logs


def test_the_export_is_whole(stack: Stack, busy: Person) -> None:
    """The export has all of its members in their order, with everything that the user has done, and without hashes or
    secrets."""
    answer = busy.http.post("/v1/me/export", json=OWN).raise_for_status()
    found = answer.json()
    assert found["complete"] is True
    assert tuple(found) == MEMBERS
    assert (found["profile"]["email"], found["profile"]["name"]) == (busy.email, NAME)
    assert {order["status"] for order in found["orders"]} == {"paid", "created"}
    assert [item["sku"] for item in found["orders"][0]["items"]] == ["tea"]
    assert found["imports"][0]["filename"] == "mine.csv"
    assert [choice["kind"] for choice in found["notification_settings"]] == ["weekly_digest"]
    for part in ("sessions", "audit", "notifications", "analytics", "reports", "webhooks", "mails"):
        assert found[part], part
    hashes = query(stack, "users", "SELECT password_hash FROM users WHERE id = $1", UUID(busy.id))
    (secret,) = query(stack, "worker", "SELECT secret FROM webhooks WHERE user_id = $1", UUID(busy.id))
    for hidden in (hashes[0][0], secret[0], "whsec_", "token_hash", "$argon2"):
        assert hidden not in answer.text


def test_the_export_is_of_one_person(stack: Stack, busy: Person, person: Person) -> None:
    """Another user's export has none of this user's data. While a service is down, there is no export."""
    other = person.http.post("/v1/me/export", json=OWN).raise_for_status().text
    assert busy.id not in other
    assert busy.email not in other
    with stack.without("worker"):
        refused = person.http.post("/v1/me/export", json=OWN)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    wait_until(stack.recovered, PATIENCE_S)


def test_a_deleted_person_leaves_no_trace_of_who_they_were(stack: Stack, busy: Person) -> None:
    """No table of any service contains their address, once the worker has received the event."""
    busy.http.request("DELETE", "/v1/me", json=OWN).raise_for_status()
    find = "SELECT 1 FROM recipients WHERE user_id = $1 AND email IS NULL"
    wait_until(lambda: query(stack, "worker", find, UUID(busy.id)), PATIENCE_S)
    wait_until(lambda: _left(stack, busy.email) == [], PATIENCE_S)


def test_an_account_becomes_an_operators(stack: Stack, person: Person) -> None:
    """`dashboard users promote` is recorded in the audit log. Afterwards they may read, and still not change."""
    folder = str(stack.folder)
    said = dashboard("users", "promote", person.email, "--role", "support", "--data-dir", folder)
    assert (said.code, "is support" in said.out) == (0, True)
    listed = dashboard("users", "operators", "--data-dir", folder, "--json").json
    assert {"id": person.id, "email": person.email, "role": "support"} in listed
    form = {"username": person.email, "password": PASSWORD}
    token = person.http.post("/v1/tokens", data=form).raise_for_status().json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    found = person.http.get("/v1/admin/audit", params={"subject_id": person.id}, headers=headers).raise_for_status()
    assert "role_changed" in [entry["action"] for entry in found.json()["items"]]
    assert person.http.post("/v1/admin/jobs/replay", json={"job": "email"}, headers=headers).status_code == 403
    nobody = dashboard("users", "promote", "nobody@example.com", "--data-dir", folder)
    assert (nobody.code, "no account" in nobody.err) == (1, True)


def test_what_administrators_change_is_in_the_audit(stack: Stack, person: Person) -> None:
    """The audit log records who shipped which order, and from which address."""
    admin = Operator(stack, "admin").person
    form = {"username": admin.email, "password": PASSWORD}
    token = person.http.post("/v1/tokens", data=form).raise_for_status().json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    order = person.order()
    person.http.post(f"/v1/orders/{order['id']}/pay").raise_for_status()
    person.http.post(f"/v1/orders/{order['id']}/ship", headers=headers).raise_for_status()
    wanted = {"actor_id": admin.id, "action": "POST /v1/orders/{id}/ship"}
    (entry,) = person.http.get("/v1/admin/audit", params=wanted, headers=headers).raise_for_status().json()["items"]
    assert (entry["detail"], entry["actor_role"]) == (f"id={order['id']}", "admin")
    assert entry["address"]
    assert entry["request_id"]


def _logs(stack: Stack) -> str:
    files = [stack.log, *Path(stack.folder / "log").glob("*.log")]
    return "".join(file.read_text(errors="replace") for file in files)


def _left(stack: Stack, text: str) -> list[str]:
    """Return the tables that contain the text."""
    tables = "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'"
    found = []
    for service in ("users", "orders", "worker"):
        for table in query(stack, service, tables):
            search = f'SELECT 1 FROM "{table["name"]}" AS whole WHERE whole::text LIKE $1 LIMIT 1'
            if query(stack, service, search, f"%{json.dumps(text)[1:-1]}%"):
                found.append(f"{service}.{table['name']}")
    return found
