"""Panel queries that are answered in the protocol, against the same through the application."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from shared.config.settings import ServiceSettings
from shared.contracts.panels import PATH
from shared.db.engine import Database, is_outage
from shared.http import application
from shared.http.identity import GATEWAY, WORKER
from shared.http.panel_fast_path import PanelsFastPath
from shared.http.panel_route import Panels
from shared.http.tokens import ServiceTokens
from shared.server.fast_path import Exchange, FastPathProtocol
from shared.server.serve import Server
from tests.support.metrics import counts
from tests.support.served import port_of, served
from tests.support.spans import Recorded, recorded_into

SECRET = "a secret of these tests that is long enough"
REQUESTS = 60
COUNTED = ("http_request_duration_seconds_count", "unhandled_exceptions_total")


class Counting(PanelsFastPath):
    """Counts what it takes."""

    taken = 0

    def take(self, protocol: FastPathProtocol) -> Exchange | None:
        exchange = super().take(protocol)
        self.taken += exchange is not None
        return exchange


class Plain(FastPathProtocol):
    """Leaves everything to the application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._fast_path = None


async def well(_: Database, ids: Sequence[UUID], __: float) -> Mapping[UUID, str]:
    return {user_id: '{"é": 1}' for user_id in ids if user_id.int % 3}


async def soon(db: Database, ids: Sequence[UUID], timeout_s: float) -> Mapping[UUID, str]:
    await asyncio.sleep(0)
    return await well(db, ids, timeout_s)


async def late(_: Database, __: Sequence[UUID], ___: float) -> Mapping[UUID, str]:
    raise TimeoutError


async def away(_: Database, __: Sequence[UUID], ___: float) -> Mapping[UUID, str]:
    raise ConnectionRefusedError("no database")


async def defect(_: Database, __: Sequence[UUID], ___: float) -> Mapping[UUID, str]:
    raise KeyError("a defect")


PANELS = Panels({"well": well, "soon": soon, "late": late, "away": away, "defect": defect})


@dataclass
class Service:
    """One application, served by both protocols."""

    app: application.Application
    fast_path: Counting
    fast: Server
    plain: Server


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.db = None
    yield


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    settings = ServiceSettings(environment="development", internal_token_secret=SECRET)
    app = application.create_app("x", settings, lifespan=lifespan, routes=PANELS.routes(), is_outage=is_outage)
    app.fast_path = fast_path = Counting(app.state, PANELS)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        fast = await stack.enter_async_context(served(app, Server, FastPathProtocol))
        plain = await stack.enter_async_context(served(app, Server, Plain))
        yield Service(app, fast_path, fast, plain)


class Drawn:
    """Random requests: most as the gateway makes them, some odd in one way or another."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        tokens = {name: ServiceTokens(SECRET, name).token() for name in (GATEWAY, WORKER)}
        self._authorizations = [f"Bearer {tokens[GATEWAY]}"] * 12 + [
            f"bearer {tokens[GATEWAY]}",
            f"Bearer {tokens[WORKER]}",
            "Bearer x",
            "Basic x",
            "",
        ]

    def request(self) -> bytes:
        body: bytes = self._body()
        headers = [("Host", "x"), ("Authorization", self._pick(self._authorizations))]
        headers += [("Content-Length", str(len(body))), ("Content-Type", "application/json")]
        for name, values in (
            ("X-Request-Id", ["abc-1", "x" * 64, "x" * 65, "", "a b", "ü"]),
            ("traceparent", [f"00-{'1' * 32}-{'2' * 16}-00", f"00-{'1' * 32}-{'2' * 16}-01", "rubbish"]),
            ("Request-Deadline-Ms", ["800", "1", "0", "x", "99999999999"]),
            ("Connection", ["keep-alive"] * 8 + ["close", "upgrade"]),
        ):
            headers += [(name, self._pick(values))] * self._pick([0, 1])
            headers += [(name, self._pick(values))] * self._rare()
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        target = PATH if not self._rare() else self._pick([f"{PATH}?", f"{PATH}?x=1", f"{PATH}/well", f"{PATH}/"])
        return f"POST {target} HTTP/1.1\r\n{head}\r\n".encode() + body

    def _body(self) -> bytes:
        if self._rare():
            odd: bytes = self._pick([b"", b"{}", b"\xff", b"[]", b'{"panels":["x"],"ids":["%s"]}' % bytes(36)])
            return odd
        panels = self._chance.choices(
            ["well", "soon", "late", "away", "defect"], [6, 4, 1, 1, 1], k=self._pick([1, 2, 3])
        )
        ids = [str(UUID(int=self._chance.getrandbits(128))) for _ in range(self._pick([1, 2, 5, 128, 129]))]
        return json.dumps({"panels": panels, "ids": ids}).encode()

    def _rare(self) -> bool:
        return self._chance.random() < 0.1

    def _pick(self, values: Sequence[Any]) -> Any:
        return self._chance.choice(values)


async def answer(server: Server, request: bytes) -> bytes:
    """The whole answer, by a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    writer.write(request)
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
    writer.close()
    await writer.wait_closed()
    return head + body


def comparable(text: bytes) -> bytes:
    """Without the time and the ids that a service makes up."""
    return re.sub(rb"[0-9a-f]{32}|date: [^\r]*|-[0-9a-f]{16}-", b"*", text)


async def effects(server: Server, request: bytes) -> tuple[bytes, Counter[Any], list[Any]]:
    """The answer to a request, what it counts, and what it logs."""
    before = counts(COUNTED)
    with capture_logs() as logs:
        told = comparable(await answer(server, request))
    counted = counts(COUNTED)
    counted.subtract(before)
    lines = [{name: repr(value) for name, value in line.items()} for line in logs]
    return told, Counter({name: value for name, value in counted.items() if value}), lines


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in (1, 2))])
@pytest.mark.parametrize("recording", [False, True])
async def test_both_ways_are_the_same(service: Service, seed: int, recording: bool) -> None:
    """Status, headers, body, metrics and log lines, whatever is asked and whatever fails."""
    drawn, spans = Drawn(random.Random(seed)), list[Recorded]()
    async with AsyncExitStack() as stack:
        if recording:
            stack.enter_context(recorded_into(spans, 0.0))
        for _ in range(REQUESTS):
            request = drawn.request()
            fast, fast_spans = await effects(service.fast, request), len(spans)
            plain, plain_spans = await effects(service.plain, request), len(spans) - fast_spans
            assert fast == plain, request
            assert fast_spans == plain_spans, request
            spans.clear()
    assert service.fast_path.taken > REQUESTS / 4


def query(panels: Sequence[str], **headers: str) -> bytes:
    body = json.dumps({"panels": panels, "ids": [str(uuid4())]}).encode()
    token = ServiceTokens(SECRET, GATEWAY).token()  # a new one: it lives for two minutes
    told = {"Host": "x", "Authorization": f"Bearer {token}", **headers, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"POST {PATH} HTTP/1.1\r\n{head}\r\n".encode() + body


async def test_an_ordinary_query_is_taken(service: Service) -> None:
    assert (await answer(service.fast, query(["well", "soon"]))).startswith(b"HTTP/1.1 200 OK\r\n")
    assert service.fast_path.taken == 1


async def test_panels_that_fail_are_read_once(service: Service) -> None:
    """The application says what went wrong, and does not try again."""
    with capture_logs() as logs:
        told = await answer(service.fast, query(["defect"]))
    assert told.startswith(b"HTTP/1.1 500 ")
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["unhandled exception"]
    assert service.fast_path.taken == 1


async def test_many_queries_on_one_connection(service: Service) -> None:
    """One after the other, and sent together: answers come in order."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(service.fast))
    for together in (1, 1, 3):
        ids = [f"{together}-{number}" for number in range(together)]
        writer.write(b"".join(query(["soon"], **{"X-Request-Id": each}) for each in ids))
        for each in ids:
            head = await reader.readuntil(b"\r\n\r\n")
            assert f"x-request-id: {each}\r\n".encode() in head
            length = re.search(rb"content-length: (\d+)", head)
            assert length
            await reader.readexactly(int(length[1]))
    writer.close()
    await writer.wait_closed()
