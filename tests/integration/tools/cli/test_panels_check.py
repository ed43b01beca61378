"""`dashboard panels check`, against services that are real servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shared.http.tokens import ServiceTokens
from tests.support.gateway.stub import Exchange, StubService, hang, replies
from tools.cli.main import app

SECRET = "an internal secret that is long enough"


@pytest.fixture
async def service() -> AsyncIterator[StubService]:
    async with StubService({"*": replies(b'{"data": {"points": 7}}')}).running() as service:
        yield service


@pytest.fixture
def file(tmp_path: Path, service: StubService, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("INTERNAL_TOKEN_SECRET", SECRET)
    path = tmp_path / "panels.toml"
    path.write_text(f"""
        [services.crm]
        url = "{service.url}"
        forward = ["Authorization"]
        [services.orders]
        url = "{service.url}"
        [panels.points]
        service = "crm"
        get = "/customers/{{claim:no}}/points"
        pick = "/data"
        kind = "object"
        timeout_ms = 10000
        [panels.orders]
        service = "orders"
        kind = "list"
        timeout_ms = 10000
    """)
    return path


async def check(file: Path, *arguments: str) -> Result:
    command = ["panels", "check", str(file), "--data-dir", str(file.parent), *arguments]
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, command))


async def test_every_panel_is_read(file: Path, service: StubService) -> None:
    """For the user, with the claims and headers that are given, and the gateway's own token for internal services."""
    result = await check(file, "--user", "ada", "--claim", "no=7/8", "--header", "Authorization=Bearer x")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "2 reads, 0 problems; 0 passed-through routes." in result.stdout
    by_path = {request.path: request for request in service.received}
    assert by_path["/customers/7%2F8/points"].values("authorization") == ["Bearer x"]
    batch = by_path["/internal/panels"]
    assert (batch.ids, batch.panels) == (["ada"], ["orders"])
    (token,) = batch.values("authorization")
    assert ServiceTokens(SECRET, "x").verify(token.removeprefix("Bearer ")) == "gateway"


async def test_problems_are_named(file: Path, service: StubService) -> None:
    """One broken panel does not hide the others; the exit status tells."""

    async def refuses(exchange: Exchange) -> None:
        await exchange.reply(b"{}", 401)

    service.behaviours["orders"] = refuses
    result = await check(file, "--json")
    assert result.exit_code == 1
    points, orders = json.loads(result.stdout)
    assert (points["panel"], points["problem"]) == (
        "points",
        "missing_claim: the token has no usable value for {claim:no}",
    )
    assert orders["problem"].startswith("bad_response: status 401: does INTERNAL_TOKEN_SECRET agree?")


async def test_a_service_that_does_not_answer(file: Path, service: StubService) -> None:
    file.write_text(file.read_text().replace("10000", "50"))  # noqa: ASYNC240  a small file
    service.behaviours["*"] = service.behaviours["orders"] = hang
    result = await check(file, "--json", "--claim", "no=7")
    assert {each["problem"] for each in json.loads(result.stdout)} == {"timeout: no answer within 50 ms"}


async def test_a_service_that_cannot_be_reached(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CRM_URL", "http://127.0.0.1:1")
    result = await check(file, "--json", "--claim", "no=7")
    problems = {each["panel"]: each["problem"] for each in json.loads(result.stdout)}
    assert problems == {"points": "connect: no connection", "orders": ""}


async def test_a_mistake_in_the_file(file: Path) -> None:
    """It is named with its line, and no service is asked."""
    file.write_text(file.read_text().replace("object", "objec"))  # noqa: ASYNC240  a small file
    result = await check(file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.strip() == f"{file}:11: panels.points.kind: Input should be 'object' or 'list'"
