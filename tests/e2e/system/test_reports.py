"""Reports on a stack that runs: over the API, and at the command line."""

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
    """Where it is downloaded."""
    answer = person.http.post("/v1/reports", json={"kind": kind, **today()}).raise_for_status()
    return f"{answer.headers['Location']}/download"


def rows(person: Person, path: str) -> list[dict[str, Any]]:
    answer = person.http.get(path).raise_for_status()
    assert answer.headers["Content-Encoding"] == "gzip"  # httpx asks for it
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def at_the_command_line(stack: Stack, person: Person, *arguments: str) -> Said:
    where = ("--data-dir", str(stack.folder), "--email", person.email, "--password", PASSWORD)
    return dashboard("report", *arguments, "--from", today()["from"], "--to", today()["to"], *where)


def test_both_kinds_are_downloaded_through_the_gateway(person: Person) -> None:
    """Orders from the orders service, analytics from the worker: one resource, one list."""
    placed = [person.order(quantity)["id"] for quantity in (1, 2)]
    orders, analytics = made(person, "orders"), made(person, "analytics")
    assert [row["id"] for row in rows(person, orders)] == placed
    wait_until(lambda: [row["orders"] for row in rows(person, analytics)] == ["2"], PATIENCE_S)
    assert [row["revenue"] for row in rows(person, analytics)] == ["37.50"]
    listed = person.http.get("/v1/reports").json()["items"]
    assert [f"/v1/reports/{report['id']}/download" for report in listed] == [analytics, orders]


def test_nobody_downloads_anothers(stack: Stack, person: Person) -> None:
    """404, as for one that never was."""
    stranger = Person(stack)
    path = made(person, "orders")
    assert stranger.http.get(path).status_code == 404
    assert stranger.http.get(path.removesuffix("/download")).status_code == 404
    stranger.http.close()


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Iterator[Person]:
    """With orders that make a far larger download than the sockets on its way hold, which may be 36 MB each: on disk
    they are small."""
    person = Person(stack)
    query(stack, "orders", MANY_ORDERS, UUID(person.id))
    yield person
    person.http.close()


@pytest.fixture
def large(customer: Person) -> str:
    """The download of all of them."""
    year = {"from": f"{datetime.now(UTC) - timedelta(days=365):%Y-%m-%d}", "to": today()["to"]}
    answer = customer.http.post("/v1/reports", json={"kind": "orders", **year}).raise_for_status()
    return f"{answer.headers['Location']}/download"


MANY_ORDERS = """
    INSERT INTO orders (user_id, id, status, currency, total, item_count, mail, created_at, updated_at)
    SELECT $1, gen_random_uuid(), 'paid', repeat('x', 100000), 4999, 2, false, now() - n * interval '1 minute', now()
    FROM generate_series(1, 3500) AS n
"""
UNDER_WAY = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'"


def test_when_the_client_leaves_the_query_ends(stack: Stack, customer: Person, large: str) -> None:
    """From the client through gateway and service to Postgres."""
    with customer.http.stream("GET", large, headers={"Accept-Encoding": "identity"}) as answer:
        answer.raise_for_status()
        chunks = answer.iter_raw()  # kept: the connection is closed with it
        next(chunks)
        wait_until(lambda: query(stack, "orders", UNDER_WAY), PATIENCE_S)
    wait_until(lambda: not query(stack, "orders", UNDER_WAY), PATIENCE_S)


def test_a_killed_service_cuts_the_download(stack: Stack, customer: Person, large: str) -> None:
    """The client is told by the missing end; then it works again."""
    with customer.http.stream("GET", large, headers={"Accept-Encoding": "identity"}) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        for pid in stack.pids("orders"):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            list(chunks)
    wait_until(stack.recovered, PATIENCE_S)


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
