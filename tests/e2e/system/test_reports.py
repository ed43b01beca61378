"""Reports on a running stack: through the API, and at the command line."""

import csv
import hashlib
import io
import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.stack.operators import Said, dashboard, query
from tests.support.stack.running import PASSWORD, PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.e2e


def today() -> dict[str, str]:
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return {"from": day, "to": day}


def made(person: Person, kind: str) -> str:
    """Order a report, and return the path of its download."""
    answer = person.http.post("/v1/reports", json={"kind": kind, **today()}).raise_for_status()
    return f"{answer.headers['Location']}/download"


def rows(person: Person, path: str) -> list[dict[str, Any]]:
    answer = person.http.get(path).raise_for_status()
    assert answer.headers["Content-Encoding"] == "gzip"  # httpx accepts it
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def at_the_command_line(stack: Stack, person: Person, *arguments: str) -> Said:
    where = ("--data-dir", str(stack.folder), "--email", person.email, "--password", PASSWORD)
    return dashboard("report", *arguments, "--from", today()["from"], "--to", today()["to"], *where)


def test_both_kinds_are_downloaded_through_the_gateway(person: Person) -> None:
    """Orders come from the orders service and analytics from the worker, as one resource and one list."""
    placed = [person.order(quantity)["id"] for quantity in (1, 2)]
    orders, analytics = made(person, "orders"), made(person, "analytics")
    assert [row["id"] for row in rows(person, orders)] == placed
    wait_until(lambda: [row["orders"] for row in rows(person, analytics)] == ["2"], PATIENCE_S)
    assert [row["revenue"] for row in rows(person, analytics)] == ["37.50"]
    listed = person.http.get("/v1/reports").json()["items"]
    assert [f"/v1/reports/{report['id']}/download" for report in listed] == [analytics, orders]


def test_nobody_downloads_anothers(stack: Stack, person: Person) -> None:
    """Another user's report is 404, like one that does not exist."""
    stranger = Person(stack)
    path = made(person, "orders")
    assert stranger.http.get(path).status_code == 404
    assert stranger.http.get(path.removesuffix("/download")).status_code == 404
    stranger.http.close()


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Iterator[Person]:
    """A user with so many orders that the download is far larger than the sockets on its way can hold, which may be 36
    MB each; on disk they are small."""
    person = Person(stack)
    query(stack, "orders", MANY_ORDERS, UUID(person.id))
    yield person
    person.http.close()


@pytest.fixture
def large(customer: Person) -> str:
    """Return the path of the download of all these orders."""
    year = {"from": f"{datetime.now(UTC) - timedelta(days=365):%Y-%m-%d}", "to": today()["to"]}
    answer = customer.http.post("/v1/reports", json={"kind": "orders", **year}).raise_for_status()
    return f"{answer.headers['Location']}/download"


MANY_ORDERS = """
    INSERT INTO orders (user_id, id, status, currency, total, item_count, mail, created_at, updated_at)
    SELECT $1, gen_random_uuid(), 'paid', repeat('x', 100000), 4999, 2, false, now() - n * interval '1 minute', now()
    FROM generate_series(1, 3500) AS n
"""
UNDER_WAY = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'"


@pytest.mark.full
def test_when_the_client_leaves_the_query_ends(stack: Stack, customer: Person, large: str) -> None:
    """The cancellation passes from the client through gateway and service to Postgres."""
    with customer.http.stream("GET", large, headers={"Accept-Encoding": "identity"}) as answer:
        answer.raise_for_status()
        chunks = answer.iter_raw()  # keep it, because the connection is closed with it
        next(chunks)
        wait_until(lambda: query(stack, "orders", UNDER_WAY), PATIENCE_S)
    wait_until(lambda: not query(stack, "orders", UNDER_WAY), PATIENCE_S)


@pytest.mark.full
def test_a_killed_service_cuts_the_download(stack: Stack, customer: Person, large: str) -> None:
    """The client detects the missing end of the download; afterwards, downloads work again."""
    with customer.http.stream("GET", large, headers={"Accept-Encoding": "identity"}) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        for pid in stack.pids("orders"):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            list(chunks)
    wait_until(stack.recovered, PATIENCE_S)


def test_the_command_keeps_a_whole_report(stack: Stack, person: Person, tmp_path: Path) -> None:
    """The command saves a complete report and prints its size."""
    person.order()
    place = tmp_path / "orders.csv"
    said = at_the_command_line(stack, person, "orders", "--output", str(place), "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert (told["rows"], told["sha256"]) == (1, hashlib.sha256(place.read_bytes()).hexdigest())


def test_the_command_says_what_is_wrong(stack: Stack, person: Person, tmp_path: Path) -> None:
    """The command prints one line and leaves no file."""
    said = at_the_command_line(stack, person, "secrets", "--output", str(tmp_path / "x.csv"))
    assert said.code == 1
    assert "kind" in said.err
    assert list(tmp_path.iterdir()) == []
