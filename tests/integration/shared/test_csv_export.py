"""Exports behind a real listener: whole, cut off, left by the client, too slow, too many."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Request

from shared.db.engine import is_outage
from shared.downloads.csv_export import (
    BYTE_ORDER_MARK,
    CsvResponse,
    Export,
    Exporter,
    ExporterDep,
    ExportSettings,
    formula_safe,
    formula_safe_sql,
)
from shared.http import application
from tests.support.backends.databases import NewDatabase
from tests.support.served import listening
from tests.support.waiting import eventually

USER, OTHER = uuid4(), uuid4()
KIND = "rows"
ENDLESS = (
    "SELECT generate_series(1, 100000000) AS n, repeat('x', 100) AS text"  # not in FROM, where it is gathered first
)
UNDER_WAY = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'"


@pytest.fixture(scope="module")
def database_url(new_database: NewDatabase) -> Iterator[str]:
    url = new_database()
    yield url
    new_database.drop(url)


@asynccontextmanager
async def serving(database_url: str, query: str, downloads: int = 4, **limits: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A service that exports this query to whoever asks; `/{user_id}` for another user."""
    patient = {"stall_s": 60}  # the machine may be busy
    used = ExportSettings(environment="development", database_url=database_url, downloads=downloads)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.exporter = Exporter(used, **(patient | limits))
        yield

    app = application.create_app("export", used, lifespan=lifespan, routes=(), is_outage=is_outage)

    @app.api_route("/{user_id}", methods=["GET", "HEAD"])
    async def export(request: Request, exporter: ExporterDep, user_id: UUID) -> CsvResponse:
        return exporter.response(request, user_id, Export(KIND, query, (), "rows.csv"))

    async with (
        app.router.lifespan_context(app),
        listening(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as http,
    ):
        yield http


async def under_way(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval(UNDER_WAY))
    finally:
        await connection.close()


async def to_its_end(answer: httpx.Response) -> None:
    async for _ in answer.aiter_raw():
        pass


async def until_no_query_runs(database_url: str) -> None:
    async def over() -> bool:
        return await under_way(database_url) == 0

    await eventually(over)


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_whole_download(database_url: str, encoding: str) -> None:
    """Has every row, compressed or plain, and keeps the connection."""
    query = "SELECT n, repeat('x', 100) AS text FROM generate_series(1, 5000) AS n"
    async with serving(database_url, query) as http:
        answer = await http.get(f"/{USER}", headers={"Accept-Encoding": encoding})
        assert "Trailer" not in answer.headers
        assert answer.headers.get("Content-Encoding", "identity") == encoding
        assert answer.content.startswith(BYTE_ORDER_MARK + b"n,text")
        assert len(list(csv.DictReader(io.StringIO(answer.text)))) == 5000
        again = await http.get(f"/{USER}")  # on the same connection
        assert again.text == answer.text


FAILS_ON_THE_WAY = "SELECT n, 1 / (50000 - n) AS broken FROM generate_series(1, 100000) AS n"


async def test_what_fails_on_the_way_cuts_the_download(database_url: str) -> None:
    """No clean end, so that every HTTP client notices."""
    async with serving(database_url, FAILS_ON_THE_WAY) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(f"/{USER}")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_cut_download_resets_the_connection(database_url: str, version: str) -> None:
    """HTTP/1.0 has no last chunk to miss."""
    async with serving(database_url, FAILS_ON_THE_WAY) as http:
        reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
        writer.write(f"GET /{USER} HTTP/{version}\r\nHost: x\r\n\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_what_fails_before_the_first_row_is_an_ordinary_error() -> None:
    """Without its database it is 503 with Retry-After."""
    async with serving("postgresql://nobody@127.0.0.1:1/none", "SELECT 1") as http:
        answer = await http.get(f"/{USER}")
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_head_runs_no_query(database_url: str) -> None:
    """It tells the name of the file."""
    async with serving(database_url, "SELECT 1 / 0") as http:
        answer = await http.head(f"/{USER}")
        assert answer.status_code == 200
        assert "rows.csv" in answer.headers["Content-Disposition"]


@pytest.mark.parametrize(
    "query", [ENDLESS, "SELECT n, pg_sleep(CASE WHEN n > 2000 THEN 600 END) FROM generate_series(1, 9000) AS n"]
)
async def test_when_the_client_leaves_the_query_stops(database_url: str, query: str) -> None:
    """Whether Postgres waits for the client or works for it."""
    async with serving(database_url, query) as http:
        async with http.stream("GET", f"/{USER}") as answer:
            assert answer.status_code == 200
            assert await under_way(database_url) == 1
        await until_no_query_runs(database_url)


@pytest.mark.full
async def test_a_client_that_stalls_is_cut_off(database_url: str) -> None:
    """Its query does not run for as long as it pleases."""
    async with serving(database_url, ENDLESS, stall_s=0.3) as http, http.stream("GET", f"/{USER}") as answer:
        assert answer.status_code == 200
        await until_no_query_runs(database_url)
        with pytest.raises(httpx.TransportError):
            await to_its_end(answer)


async def test_a_download_has_an_end(database_url: str) -> None:
    """However fast its client reads."""
    async with serving(database_url, ENDLESS, timeout_s=0.5) as http:
        async with http.stream("GET", f"/{USER}") as answer:
            with pytest.raises(httpx.TransportError):
                await to_its_end(answer)
        await until_no_query_runs(database_url)


@pytest.mark.parametrize(
    "accounts", [[USER] * 4, [USER, USER, OTHER, OTHER], [UUID(int=n) for n in range(4)]], ids=["one", "two", "four"]
)
async def test_slow_clients_keep_nobody_from_a_download(database_url: str, accounts: list[UUID]) -> None:
    """Whether one account, two or four of them hold all places: one of theirs is broken off for each that comes."""
    async with serving(database_url, ENDLESS, downloads=4, per_user=4) as http, AsyncExitStack() as stack:
        http.headers["Accept-Encoding"] = "identity"  # compressed it takes long until the client's buffers are full
        theirs = [await stack.enter_async_context(http.stream("GET", f"/{account}")) for account in accounts]
        assert [answer.status_code for answer in theirs] == [200] * 4

        async def served() -> bool:
            async with http.stream("GET", f"/{uuid4()}") as answer:
                return answer.status_code == 200

        for _ in range(2):
            await eventually(served)  # a busy machine may take a while to fill the buffers of the slow clients


@pytest.mark.full
async def test_downloads_are_limited_for_all_and_for_each(database_url: str) -> None:
    """429 for one user's third, 503 when all places are of accounts that hold no more, both with Retry-After; then they
    go on."""
    async with serving(database_url, ENDLESS, downloads=2, per_user=2) as http:
        async with http.stream("GET", f"/{USER}"), http.stream("GET", f"/{OTHER}"):
            busy = await http.get(f"/{USER}")
        await until_no_query_runs(database_url)
        async with http.stream("GET", f"/{USER}"), http.stream("GET", f"/{USER}"):
            refused = await http.get(f"/{USER}")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_downloads")
        assert (busy.status_code, busy.json()["code"]) == (503, "downloads_busy")
        assert "Retry-After" in refused.headers
        assert "Retry-After" in busy.headers

        async def free() -> bool:
            async with http.stream("GET", f"/{USER}") as answer:
                return answer.status_code == 200

        await eventually(free)
    await until_no_query_runs(database_url)


CELLS = [
    *("", "tea", "=1", "+1", "-1", "@a", "\tx", "\rx", "\nx", "  =1", "\n+1", "\u00a0-1", "\u3000@x", "\x1f=1", "a=1"),
    *("'=1", " \t x", "\v\f=1", "\u2028=", "\u200b=1", "\ufeff=1", "\uff1d1", "0", "\u180e=1", "\x85+", "\x1c@"),
    *("\uff1d1", "\uff0b1", "\uff0d1", "\uff201", "\ufe661", "a; =1", "a;\uff1d1", "a\t+1", "a\n-1", "a, =1", "a;b"),
]


async def test_postgres_and_python_write_the_same_safe_cells(database_url: str) -> None:
    """For what begins like a formula, also after white space of any kind, and for what does not."""
    pairs = ("".join(pair) for pair in product("=+\uff0d;\t\r\n a\u00a0", repeat=4))
    cells = [*CELLS, *(chr(code) + "=1" for code in range(1, 0x3100)), *pairs]
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            f"SELECT {formula_safe_sql('cell')} AS cell FROM unnest($1::text[]) WITH ORDINALITY AS t (cell, n) "
            "ORDER BY n",
            cells,
        )
    finally:
        await connection.close()
    assert [row["cell"] for row in rows] == [formula_safe(cell) for cell in cells]
