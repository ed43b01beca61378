"""GET /v1/reports/{id}/download: looked up at the worker, read from the owner of the data, and streamed."""

import asyncio
import json

import pytest

from shared.ids import new_id
from tests.support.gateway.stub import Behaviour, Exchange, cut_off, hang, replies
from tests.support.gateway.world import Start, World
from tests.support.served import client, listening
from tests.support.waiting import eventually

REPORT_ID = new_id()
DOWNLOAD = f"/v1/reports/{REPORT_ID}/download"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\nTrailer: Report-Rows\r\n\r\n"
ROWS = b"6\r\nid\n1\n2\r\n"


def definition(kind: str = "orders") -> Behaviour:
    return replies(json.dumps({"id": str(REPORT_ID), "kind": kind, "from": "2026-01-01", "to": "2026-01-31"}).encode())


@pytest.fixture
def reporting(world: World) -> World:
    world.worker.behaviours[f"/v1/reports/{REPORT_ID}"] = definition()
    return world


async def whole(exchange: Exchange) -> None:
    await exchange.raw(HEAD + ROWS + b"0\r\nReport-Rows: 2\r\n\r\n")


async def broken_off(exchange: Exchange) -> None:
    await exchange.raw(HEAD + ROWS)
    exchange.writer.close()


async def asked(world: World, port: int, version: str = "1.1") -> bytes:
    """Return everything that the gateway sends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    token = world.bearer()["Authorization"]
    head = f"GET {DOWNLOAD} HTTP/{version}\r\nHost: gateway\r\nConnection: close\r\nAuthorization: {token}\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("kind", ["orders", "analytics"])
async def test_the_owner_of_the_data_is_asked_for_the_period(reporting: World, kind: str) -> None:
    """The owner is asked for the caller's data, which the caller cannot override."""
    reporting.worker.behaviours[f"/v1/reports/{REPORT_ID}"] = definition(kind)
    user_id = new_id()
    headers = reporting.bearer(user_id) | {"X-User-Id": str(new_id()), "Accept-Encoding": "gzip"}
    refused = await reporting.client.get(DOWNLOAD + "?from=1999-01-01", headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "from")
    wrong = await reporting.client.get(DOWNLOAD + "?form=xlsx", headers=headers)
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "form")
    await reporting.client.get(DOWNLOAD, headers=headers)
    owner = reporting.orders if kind == "orders" else reporting.worker
    request = owner.last("/internal/reports/")
    asked = f"/internal/reports/{kind}?from=2026-01-01&to=2026-01-31&form="
    assert request.target == asked + "spreadsheet"
    assert request.values("X-User-Id") == [str(user_id)]
    assert request.values("Accept-Encoding") == ["gzip"]
    await reporting.client.get(DOWNLOAD + "?form=data", headers=headers)
    assert owner.last("/internal/reports/").target == asked + "data"


async def test_trailers_do_not_go_through(reporting: World) -> None:
    """A complete download ends with its last chunk."""
    reporting.orders.behaviours["*"] = whole
    async with listening(reporting.app) as port:
        answer = await asked(reporting, port)
    assert b"report-rows" not in answer.lower()
    assert answer.endswith(b"\r\n\r\n" + ROWS + b"0\r\n\r\n")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_cut_download_has_no_clean_end(reporting: World, version: str) -> None:
    """If the owner aborts the download, the gateway resets the connection, because HTTP/1.0 has no last chunk."""
    reporting.orders.behaviours["*"] = broken_off
    async with listening(reporting.app) as port:
        with pytest.raises(ConnectionResetError):
            await asked(reporting, port, version)


async def test_a_client_without_chunks_gets_the_rows_plain(reporting: World) -> None:
    """The end of the connection is the end of the rows."""
    reporting.orders.behaviours["*"] = whole
    async with listening(reporting.app) as port:
        answer = await asked(reporting, port, "1.0")
    assert b"transfer-encoding" not in answer.lower()
    assert answer.endswith(b"\r\n\r\nid\n1\n2")


async def test_when_the_client_leaves_so_does_the_gateway(reporting: World) -> None:
    """The owner's connection is closed, so that its query stops."""

    async def without_end(exchange: Exchange) -> None:
        await exchange.raw(HEAD)
        while True:
            await exchange.raw(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    reporting.orders.behaviours |= {"/internal/reports/orders": without_end, "/livez": replies(b"{}")}
    async with listening(reporting.app) as port, client() as http:
        async with http.stream("GET", f"http://127.0.0.1:{port}{DOWNLOAD}", headers=reporting.bearer()) as answer:
            await anext(answer.aiter_raw())
            assert reporting.orders.active == 1
        await eventually(lambda: reporting.orders.active == 0)


async def test_a_client_that_reads_nothing_is_given_up(start: Start) -> None:
    """Little data is buffered for it, and after a while its connection is closed."""
    sent = 0

    async def much(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.raw(HEAD)
        while True:
            await exchange.raw(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            sent += 0x10000

    async with start(client_stall_s=0.5) as world, listening(world.app) as port:
        world.worker.behaviours[f"/v1/reports/{REPORT_ID}"] = definition()
        world.orders.behaviours["*"] = much
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        token = world.bearer()["Authorization"]
        writer.write(f"GET {DOWNLOAD} HTTP/1.1\r\nHost: gateway\r\nAuthorization: {token}\r\n\r\n".encode())
        await eventually(lambda: sent > 0)
        await eventually(lambda: world.orders.active == 0)
        assert sent < 32 * 1024 * 1024
        writer.transport.abort()
        del reader


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (replies(b"{}", 404), 404, "report_not_found"),
        (replies(b"{}", 500), 503, "service_unavailable"),
        (replies(b"[]"), 503, "service_unavailable"),
        (replies(b" " * 5000), 503, "service_unavailable"),
        (cut_off, 503, "service_unavailable"),
        (replies(b'{"kind": "secrets", "from": "2026-01-01", "to": "2026-01-31"}'), 503, "service_unavailable"),
    ],
)
async def test_without_a_definition_there_is_nothing_to_download(
    reporting: World, behaviour: Behaviour, status: int, code: str
) -> None:
    """Another user's report does not exist; a failing worker is 503. Neither leads to a query."""
    reporting.worker.behaviours[f"/v1/reports/{REPORT_ID}"] = behaviour
    answer = await reporting.client.get(DOWNLOAD, headers=reporting.bearer())
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert reporting.orders.asked == []


async def test_an_owner_that_does_not_answer_is_503(start: Start) -> None:
    """The response arrives in time."""
    async with start(pass_through_timeout_s=0.3) as world:
        world.worker.behaviours[f"/v1/reports/{REPORT_ID}"] = definition()
        world.orders.behaviours["*"] = hang
        answer = await world.client.get(DOWNLOAD, headers=world.bearer())
        assert answer.status_code == 503


async def test_nobody_downloads_without_a_token(reporting: World) -> None:
    assert (await reporting.client.get(DOWNLOAD)).status_code == 401
