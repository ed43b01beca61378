"""An import through the gateway, with all services running."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack.running import PASSWORD, PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until
from tests.support.worker.imports import csv_of, line, many

pytestmark = pytest.mark.e2e


def upload(person: Person, data: bytes) -> str:
    """Upload a file, and return the path of the import."""
    answer = person.http.post("/v1/imports", files={"file": ("orders.csv", data, "text/csv")})
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def ended(person: Person, path: str) -> dict[str, Any]:
    def status() -> dict[str, Any]:
        read: dict[str, Any] = person.http.get(path).raise_for_status().json()
        return read

    wait_until(lambda: status()["state"] not in ("queued", "running"), PATIENCE_S)
    return status()


def test_imported_orders_are_counted_and_told_of_once(stack: Stack, person: Person) -> None:
    """The orders are in the list, in the analytics and in one notification, and cause no mail."""
    status = ended(person, upload(person, many(1500)))
    assert (status["state"], status["rows_done"], status["rows_failed"]) == ("completed", 1500, 0)
    wait_until(lambda: person.panel("analytics")["orders"] == 1500, PATIENCE_S)
    assert person.panel("analytics")["revenue"] == {"EUR": 1500 * 2100}
    wait_until(lambda: "import.completed" in [one["kind"] for one in person.panel("notifications")], PATIENCE_S)
    kinds = [one["kind"] for one in person.panel("notifications")]
    assert sorted(kinds) == ["import.completed", "user.registered"]
    assert len(person.panel("orders")) == 20
    assert not stack.mails(person.email)


def test_a_file_that_is_no_import_is_refused_at_once(person: Person) -> None:
    """It is refused with the reason, even before most of it has been sent."""
    for data in (b"a,b\n" * 5_000_000, b"", b"\xff\xfe" * 1000, many(1).replace(b"reference", b"Reference")):
        answer = person.http.post("/v1/imports", files={"file": ("x.csv", data)})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "file")


def test_others_imports_do_not_exist(stack: Stack, person: Person) -> None:
    """Reading, listing, cancelling and the errors of another user's import are 404."""
    path = upload(person, csv_of(line("mine")))
    other = Person(stack, "Eve")
    assert other.http.get("/v1/imports").json()["items"] == []
    answers = [other.http.get(path), other.http.get(f"{path}/errors"), other.http.post(f"{path}/cancel")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert ended(person, path)["state"] == "completed"
    other.http.close()


def test_the_command_imports_a_file(stack: Stack, person: Person, tmp_path: Path) -> None:
    """It waits for the end, writes the rows that could not be imported, and has the exit status 1 if there are any."""
    file, errors = tmp_path / "orders.csv", tmp_path / "errors.csv"
    command = [sys.executable, "-m", "tools.cli.main", "import", str(file), "--errors", str(errors), "--json"]
    account = {"DASHBOARD_EMAIL": person.email, "DASHBOARD_PASSWORD": PASSWORD, "DASHBOARD_URL": stack.url}
    found = []
    for data in (csv_of(line("a"), line("b", quantity="0")), csv_of(line("a"))):
        file.write_bytes(data)
        ran = subprocess.run(
            command, env=os.environ | account, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        found.append((ran.returncode, json.loads(ran.stdout)))
    (first, status), (second, again) = found
    assert (first, status["state"], status["rows_done"], status["rows_failed"]) == (1, "completed", 1, 1)
    assert (second, again["rows_done"], again["rows_repeated"]) == (0, 1, 1)
    assert errors.read_text().splitlines()[1].startswith("3,b,quantity,")
