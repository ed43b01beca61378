"""Imports from the upload to the notification, against a real orders service."""

import asyncio
import csv
import io
import json
from typing import Any

import aio_pika
import pytest

from services.worker.imports.upload import MAX_OPEN_IMPORTS, MOST_AT_ONCE, PER_USER
from services.worker.settings import Settings
from shared.contracts import topology
from tests.support.waiting import eventually
from tests.support.worker.imports import Orders, Owner, csv_of, line, many, stored
from tests.support.worker.world import LONG_S, World, working


async def test_a_file_becomes_orders(owner: Owner, orders: Orders) -> None:
    """202 with its place; every row an order of its owner, counted in the status."""
    answer = await owner.upload(many(2500))
    assert answer.status_code == 202, answer.text
    status = answer.json()
    assert answer.headers["Location"] == f"/v1/imports/{status['id']}"
    assert (status["state"], status["rows_total"], status["filename"]) == ("queued", 2500, "orders.csv")
    status = await owner.ended(status["id"])
    assert (status["state"], status["rows_done"], status["rows_failed"]) == ("completed", 2500, 0)
    assert status["rows_per_s"] > 0
    assert await orders.count(owner.user_id) == 2500


async def test_a_file_may_be_sent_again(owner: Owner, orders: Orders) -> None:
    """Each reference becomes one order of each user; what differs from it is an error."""
    await owner.imported(csv_of(line("a"), line("b")))
    status = await owner.imported(csv_of(line("a"), line("b", quantity="9"), line("c"), line("c")))
    assert (status["rows_done"], status["rows_repeated"], status["rows_failed"]) == (3, 2, 1)
    assert await orders.count(owner.user_id) == 3
    other = Owner(owner.http)
    assert (await other.imported(csv_of(line("a"))))["rows_repeated"] == 0


async def test_rows_that_are_no_orders_cost_only_themselves(owner: Owner, orders: Orders) -> None:
    """They are listed in a CSV file, in which no cell begins a formula."""
    data = csv_of(
        line("good"),
        line("=cmd|' /C calc'!A0", quantity="0"),
        line("few").rpartition(",")[0],
        "," * 1_000_000,
        line("zero", unit_price="-1", currency="XXX"),
        line("good-2"),
    ).replace(b"few", b"f\xffw")
    status = await owner.imported(data)
    assert (status["state"], status["rows_done"], status["rows_failed"]) == ("completed", 2, 4)
    answer = await owner.get(f"/{status['id']}/errors")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [(row["line"], row["field"]) for row in rows] == [
        ("3", "quantity"),
        ("4", "row"),
        ("5", "row"),
        ("6", "currency"),
        ("6", "unit_price"),
    ]
    assert rows[0]["reference"].startswith("'=cmd|")
    first = (await owner.get(f"/{status['id']}/row-errors?limit=2")).json()["items"]
    assert [(error["line"], error["field"]) for error in first] == [(3, "quantity"), (4, "row")]
    assert first[0]["reference"].startswith("=cmd|")
    assert await orders.count(owner.user_id) == 2


@pytest.mark.full
async def test_more_errors_than_a_page_and_than_are_kept(importing: Settings) -> None:
    """Every failed row is counted; of the errors so many are kept as the setting says."""
    async with working(importing.model_copy(update={"import_max_errors": 1500})) as world:
        await world.until_ready()
        owner = Owner(world.http)
        status = await owner.imported(csv_of(*(line(f"r-{number}", quantity="x") for number in range(2100))))
        assert (status["rows_failed"], status["errors_kept"]) == (2100, 1500)
        lines = (await owner.get(f"/{status['id']}/errors")).text.splitlines()
        assert [text.split(",")[0] for text in lines[1:]] == [str(number) for number in range(2, 1502)]


async def test_files_as_spreadsheets_write_them(owner: Owner, orders: Orders) -> None:
    """A byte order mark, Windows line ends, quoted line breaks and quotes, blank lines and none at the end."""
    rows = (line("a", name='"two\r\nlines, ""quoted"""'), "", line("b"), line("ü"))
    status = await owner.imported(b"\xef\xbb\xbf" + "\r\n".join((csv_of().decode().strip(), *rows)).encode())
    assert (status["rows_done"], status["rows_failed"], status["rows_total"]) == (3, 0, 3)
    assert await orders.count(owner.user_id) == 3


async def test_references_that_look_the_same_are_one_order(owner: Owner, orders: Orders) -> None:
    """In one file or another, whatever blanks and byte order marks a program left around them."""
    looks = ("INV 1", " INV 1 ", "INV\u00a01", "\ufeffINV 1", "INV  1\u200b")
    status = await owner.imported(csv_of(*map(line, looks)))
    assert (status["rows_done"], status["rows_repeated"], status["rows_failed"]) == (5, 4, 0)
    again = await owner.imported(csv_of(line("\tINV 1", name=" Lamp ")))
    assert (again["rows_repeated"], again["rows_failed"]) == (1, 0)
    assert await orders.count(owner.user_id) == 1


async def test_rows_of_commas_are_no_rows(owner: Owner) -> None:
    """Taken off at the end, as blank lines are."""
    status = await owner.imported(csv_of(line("a"), ",,,,,,", ",,,,,,,,,", line("b"), ",,,,,,"))
    assert (status["rows_total"], status["rows_done"], status["rows_failed"]) == (2, 2, 0)


async def test_a_file_without_rows_is_done_at_once(owner: Owner) -> None:
    status = await owner.imported(csv_of())
    assert (status["state"], status["rows_total"]) == ("completed", 0)


async def test_the_end_is_told_once(owner: Owner, importer: World) -> None:
    """By one notification, however many orders there are."""
    await owner.imported(many(1200))

    async def notifications() -> list[dict[str, Any]]:
        answer = await importer.http.get("/v1/notifications", headers=owner.headers)
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def told() -> bool:
        return bool(await notifications())

    await eventually(told, LONG_S)
    [one] = await notifications()
    assert (one["kind"], one["title"]) == ("import.completed", "Import completed")
    assert one["body"] == "1200 of 1200 orders were imported."
    assert one["subject"]["kind"] == "import"


async def test_progress_is_told_live(owner: Owner, importer: World) -> None:
    """On the exchange `live`, by messages that change no panel; the last one tells how it ended."""
    told: list[dict[str, Any]] = []
    async with await aio_pika.connect(importer.settings.rabbitmq_url) as connection:
        feed = await topology.declare_feed(await connection.channel())

        async def keep(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            if message.routing_key == "import":
                told.append(json.loads(message.body))

        await feed.consume(keep, no_ack=True)
        status = await owner.imported(many(3000))
        await eventually(lambda: any(one["import"]["state"] == "completed" for one in told), LONG_S)
    assert all((one["user_id"], one["panels"]) == (str(owner.user_id), []) for one in told)
    last = told[-1]["import"]
    assert last.keys() == {"id", "state", "rows_total", "rows_done", "rows_failed", "rows_per_s", "eta_s"}
    assert (last["id"], last["rows_done"], last["rows_total"]) == (status["id"], 3000, 3000)


async def test_another_users_import_does_not_exist(owner: Owner) -> None:
    """Not to be read, listed or cancelled, nor its errors: 404, as for one that never was."""
    status = await owner.imported(csv_of(line("a", quantity="0")))
    other = Owner(owner.http)
    for path in (f"/{status['id']}", f"/{status['id']}/errors", f"/{status['id']}/row-errors"):
        assert (await other.get(path)).status_code == 404
    assert (await other.cancel(status["id"])).json()["code"] == "import_not_found"
    assert (await other.get("")).json() == {"items": [], "next_cursor": None}


async def test_the_list_is_read_page_by_page(owner: Owner) -> None:
    """The newest first."""
    ids = [(await owner.upload(csv_of())).json()["id"] for _ in range(3)]
    first = (await owner.get("?limit=2")).json()
    second = (await owner.get(f"?limit=2&cursor={first['next_cursor']}")).json()
    assert [one["id"] for one in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"a,b\n1,2\n", csv_of().upper(), csv_of().decode().encode("utf-16"), b"\0" * 100, b"," * 1_000_000],
)
async def test_a_wrong_header_is_refused_at_once(owner: Owner, importer: World, data: bytes) -> None:
    """422 that names the file; nothing of it is kept."""
    before = stored(importer.settings)
    answer = await owner.upload(data)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "file")
    assert stored(importer.settings) == before
    assert (await owner.get("")).json()["items"] == []


async def test_so_many_imports_a_user(owner: Owner, importer: World) -> None:
    """One more is refused before its file is read, others are not; once one has ended there is room."""
    add = """
        INSERT INTO imports (user_id, id, state, lease_id, lease_until)
        SELECT $1, gen_random_uuid(), 'running', gen_random_uuid(), now() + interval '1 day' FROM generate_series(1, $2)
    """
    await importer.fetch(add, owner.user_id, MAX_OPEN_IMPORTS)
    answer = await owner.upload(many(1))
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_imports")
    assert (await Owner(owner.http).upload(many(1))).status_code == 202
    end = "UPDATE imports SET state = 'completed' WHERE id = (SELECT id FROM imports WHERE user_id = $1 LIMIT 1)"
    await importer.fetch(end, owner.user_id)
    assert (await owner.imported(many(1)))["state"] == "completed"


async def test_slow_uploads_keep_nobody_from_theirs(owner: Owner, importer: World) -> None:
    """A user has so many at the same time, all users as many as there are places. One that its client keeps waiting
    makes room for a user who has fewer, and nothing of it is kept."""
    before = stored(importer.settings)
    slow = [await owner.held_upload() for _ in range(PER_USER)]
    refused = await owner.upload(many(1))
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
    others = [Owner(owner.http) for _ in range(MOST_AT_ONCE - PER_USER)]
    slow += [await other.held_upload() for other in others]
    assert not any(answer.done() for _, answer in slow)
    assert (await Owner(owner.http).upload(csv_of(line("a")))).status_code == 202
    for body, _ in slow:
        body.go_on.set()
    answers = await asyncio.gather(*(answer for _, answer in slow))
    assert sorted(answer.status_code for answer in answers) == [202] * (MOST_AT_ONCE - 1) + [503]
    [busy] = (answer for answer in answers[:PER_USER] if answer.status_code == 503)
    assert (busy.json()["code"], busy.headers["Retry-After"]) == ("uploads_busy", "5")

    def is_clean() -> bool:
        return len(stored(importer.settings)) == len(before) + MOST_AT_ONCE

    await eventually(is_clean)


@pytest.mark.full
async def test_a_file_that_is_too_large(importing: Settings) -> None:
    """413, and nothing of it is kept; the form around it does not count."""
    async with working(importing.model_copy(update={"import_max_bytes": 1000})) as world:
        await world.until_ready()
        owner = Owner(world.http)
        header = len(csv_of())
        assert (await owner.upload(csv_of() + b"\n" * (1000 - header))).status_code == 202
        assert (await owner.upload(csv_of() + b"\n" * (1001 - header))).status_code == 413
        assert len(stored(importing)) == 1


FORMS = {
    "no form": ("application/json", b"{}", 415),
    "no boundary": ("multipart/form-data", b"x", 422),
    "no file": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--',
        422,
    ),
    "not a form at all": ("multipart/form-data; boundary=b", b"reference,currency", 422),
    "cut off": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n%s',
        422,
    ),
    "two files": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n%s\r\n' * 2 + b"--b--",
        422,
    ),
}


@pytest.mark.parametrize("name", FORMS)
async def test_what_is_no_upload_is_refused(owner: Owner, importer: World, name: str) -> None:
    """With a problem, and nothing is kept."""
    before = stored(importer.settings)
    kind, body, status = FORMS[name]
    headers = owner.headers | {"Content-Type": kind}
    answer = await owner.http.post("/v1/imports", content=body.replace(b"%s", csv_of()), headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert stored(importer.settings) == before
