"""Notification settings and unsubscribing, through the gateway."""

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.stack.operators import Operator, query
from tests.support.stack.running import NO_TLS, PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.e2e

FIND = "SELECT event_id FROM jobs WHERE user_id = $1 AND job = 'email' AND state = 'suppressed'"


def settings_of(person: Person) -> dict[str, Any]:
    found: dict[str, Any] = person.http.get("/v1/me/notification-settings").raise_for_status().json()
    return found


def test_unsubscribing_by_the_link_of_a_mail(stack: Stack, person: Person) -> None:
    """The link leads to the gateway. Opening it changes nothing; one POST without signing in ends the mails of its
    kind, and operators see why the next one was not sent. The key is in no log."""
    person.order()
    wait_until(lambda: stack.mails(person.email), PATIENCE_S)
    [mail] = stack.mails(person.email)
    [link] = re.findall(r"^<(.*)>$", str(mail.message["List-Unsubscribe"]))
    assert link.startswith(f"{stack.url}/v1/unsubscribe/")
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    with httpx.Client(timeout=PATIENCE_S, verify=NO_TLS) as anyone:
        page = anyone.get(link, headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "style-src 'sha256-" in page.headers["Content-Security-Policy"]
        assert settings_of(person)["kinds"]["order_confirmation"] == {"mail": True}
        forged = anyone.post(f"{link[:-1]}{'A' if link[-1] != 'A' else 'B'}", data={"List-Unsubscribe": "One-Click"})
        assert (forged.status_code, forged.json()["code"]) == (404, "unsubscribe_key_unknown")
        assert anyone.post(link, data={"List-Unsubscribe": "One-Click"}).status_code == 204
    assert settings_of(person)["kinds"]["order_confirmation"] == {"mail": False}
    person.order()
    wait_until(lambda: query(stack, "worker", FIND, UUID(person.id)), PATIENCE_S)
    shown = Operator(stack, "support").jobs("list", "--state", "suppressed", "--user", person.id, "--json").json
    [job] = shown["items"] if isinstance(shown, dict) else shown
    assert job["error"] == "the recipient has switched off mails of the kind order_confirmation"
    assert len(stack.mails(person.email)) == 1
    logs = "".join(file.read_text(errors="replace") for file in Path(stack.folder / "log").glob("*.log"))
    assert "/v1/unsubscribe/{key}" in logs
    assert link.rpartition("/")[2] not in logs


def test_choosing_mails(person: Person) -> None:
    """The settings are the user's own, and a wrong one is named."""
    chosen = settings_of(person) | {"weekly_digest": True}
    assert person.http.put("/v1/me/notification-settings", json=chosen).raise_for_status().json() == chosen
    refused = person.http.put("/v1/me/notification-settings", json={"kinds": {"nonsense": {"mail": True}}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "kinds.nonsense")
    assert settings_of(person) == chosen
