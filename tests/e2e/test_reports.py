"""Reports on a stack that runs: over the API, and at the command line."""

import csv
import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.operators import Said, dashboard
from tests.e2e.stack import PASSWORD, Person, Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


def today() -> dict[str, str]:
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return {"from": day, "to": day}


def made(person: Person, kind: str) -> str:
    """Where it is downloaded."""
    answer = person.http.post("/v1/reports", json={"kind": kind, **today()}).raise_for_status()
    return f"{answer.headers['Location']}/download"


def rows(person: Person, path: str) -> list[dict[str, Any]]:
    answer = person.http.get(path).raise_for_status()
    assert answer.headers["Content-Encoding"] == "gzip"  # httpx asks for it
    return list(csv.DictReader(io.StringIO(answer.text)))


def at_the_command_line(stack: Stack, person: Person, *arguments: str) -> Said:
    where = ("--data-dir", str(stack.folder), "--email", person.email, "--password", PASSWORD)
    return dashboard("report", *arguments, "--from", today()["from"], "--to", today()["to"], *where)


def test_both_kinds_are_downloaded_through_the_gateway(person: Person) -> None:
    """Orders from the orders service, analytics from the worker: one resource, one list."""
    placed = [person.order(quantity)["id"] for quantity in (1, 2)]
    orders, analytics = made(person, "orders"), made(person, "analytics")
    assert [row["id"] for row in rows(person, orders)] == placed
    wait_until(lambda: [row["orders"] for row in rows(person, analytics)] == ["2"])
    assert [row["revenue"] for row in rows(person, analytics)] == ["3750"]
    listed = person.http.get("/v1/reports").json()["items"]
    assert [f"/v1/reports/{report['id']}/download" for report in listed] == [analytics, orders]


def test_nobody_downloads_anothers(stack: Stack, person: Person) -> None:
    """404, as for one that never was."""
    stranger = Person(stack)
    path = made(person, "orders")
    assert stranger.http.get(path).status_code == 404
    assert stranger.http.get(path.removesuffix("/download")).status_code == 404
    stranger.http.close()


def test_the_command_keeps_a_whole_report(stack: Stack, person: Person, tmp_path: Path) -> None:
    """And says how much it is."""
    person.order()
    place = tmp_path / "orders.csv"
    said = at_the_command_line(stack, person, "orders", "--output", str(place), "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert (told["rows"], told["sha256"]) == (1, hashlib.sha256(place.read_bytes()).hexdigest())


def test_the_command_says_what_is_wrong(stack: Stack, person: Person, tmp_path: Path) -> None:
    """In one line, and leaves no file."""
    said = at_the_command_line(stack, person, "secrets", "--output", str(tmp_path / "x.csv"))
    assert said.code == 1
    assert "kind" in said.err
    assert list(tmp_path.iterdir()) == []
