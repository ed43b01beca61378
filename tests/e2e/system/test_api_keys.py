"""An API key in a script, as docs/api.md shows it, and its end."""

import json

import httpx
import pytest

from tests.support.stack.readme import run_script, scripts_of
from tests.support.stack.running import NO_TLS, PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.e2e


def test_a_script_uses_a_key_until_it_is_deleted(stack: Stack, person: Person) -> None:
    """The examples of the page create a key and read a dashboard with it. Its owner sees it, and when it was used.
    After its deletion it is refused, and its live stream ends."""
    create, use = scripts_of("api.md", "API keys")
    token = person.http.headers["Authorization"].removeprefix("Bearer ")
    made = json.loads(run_script(create, BASE=stack.url, TOKEN=token))
    wait_until(lambda: _user_of(use.replace("dsh_…", made["key"]), stack) == person.id, PATIENCE_S)
    (listed,) = person.http.get("/v1/me/api-keys").raise_for_status().json()["items"]
    assert (listed["id"], listed["last_used_at"] is not None) == (made["id"], True)
    headers = {"Authorization": f"Bearer {made['key']}"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=PATIENCE_S, verify=NO_TLS) as script:
        with script.stream("GET", "/v1/dashboard/events") as stream:
            person.http.delete(f"/v1/me/api-keys/{made['id']}").raise_for_status()
            assert "session_ended" in "".join(stream.iter_text())
        assert script.get("/v1/dashboard").status_code == 401


def _user_of(script: str, stack: Stack) -> str | None:
    """Return the user of the dashboard that the script reads, or None if a busy machine has none in time."""
    try:
        return str(json.loads(run_script(script, BASE=stack.url))["user_id"])
    except AssertionError:
        return None


def test_an_ended_session_is_signed_out(person: Person) -> None:
    """The list names this client and its address; the tokens of a session that is ended there are refused."""
    sessions = person.http.get("/v1/me/sessions").raise_for_status().json()["items"]
    assert [(each["device"], each["current"]) for each in sessions] == [("python-httpx", True)]
    assert sessions[0]["address"]
    person.http.delete(f"/v1/me/sessions/{sessions[0]['id']}").raise_for_status()
    wait_until(lambda: person.http.get("/v1/me").status_code == 401, PATIENCE_S)
