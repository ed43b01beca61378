"""The error responses of every service."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from shared.config.settings import ServiceSettings
from shared.errors import Conflict, DashboardError
from shared.http.application import AsgiRoute, create_app
from shared.observability import probes

LIMIT = 1000
router = APIRouter()


class Taken(Conflict):
    code, title = "taken", "Taken already"


class Item(BaseModel):
    quantity: int


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    items: list[Item]


@router.post("/bodies")
async def bodies(body: Body) -> int:
    return len(body.items)


@router.get("/queries")
async def queries(limit: Annotated[int, Query(ge=1)]) -> int:
    return limit


@router.get("/failures/{kind}")
async def failures(kind: str) -> None:
    known = {"taken": Taken("this one"), "away": ConnectionRefusedError("secret-host"), "bug": KeyError("secret-key")}
    raise known[kind]


@router.get("/torn")
async def torn() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield "one"
        raise KeyError("two")

    return StreamingResponse(lines())


@asynccontextmanager
async def _nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
async def app() -> AsyncIterator[FastAPI]:
    made = create_app(
        "example",
        ServiceSettings(environment="development"),
        lifespan=_nothing,
        routes=[router],
        is_outage=lambda error: isinstance(error, ConnectionError),
        max_body_bytes=LIMIT,
    )
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://example") as client:
        yield client


def _problem(answer: httpx.Response, status: int) -> dict[str, object]:
    """Assert that the response is a complete problem, and return its body."""
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert body["status"] == status
    assert body["type"] == f"urn:dashboard:problem:{body['code']}"
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert re.fullmatch("[0-9a-f]{32}", str(body["trace_id"]))
    assert {"title", "detail"} <= body.keys()
    return body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/bodies", 405, "method_not_allowed"),
        ("GET", "/failures/taken", 409, "taken"),
        ("GET", "/failures/bug", 500, "internal"),
        ("GET", "/failures/away", 503, "unavailable"),
        ("GET", "/queries?limit=0", 422, "invalid_input"),
    ],
)
async def test_every_error_is_a_problem(
    http: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    """The problem has the request's id, and no internal details."""
    answer = await http.request(method, path)
    assert _problem(answer, status)["code"] == code
    assert "secret" not in answer.text


async def test_an_outage_says_when_to_come_back_and_a_wrong_method_what_is_allowed(http: httpx.AsyncClient) -> None:
    """A 503 has Retry-After, and a 405 has Allow."""
    assert (await http.get("/failures/away")).headers["Retry-After"] == "2"
    assert (await http.get("/bodies")).headers["Allow"] == "POST"


@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
async def test_a_body_that_is_too_large_is_refused(http: httpx.AsyncClient, declared: bool) -> None:
    """The response is 413, whether the length is declared or found while reading."""
    body = b"[" + b" " * LIMIT + b"]"

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    headers = {"Content-Type": "application/json"}
    _problem(await http.post("/bodies", content=body if declared else chunks(), headers=headers), 413)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"items": [{"quantity": "x"}]}', "items.0.quantity"),
        (b'{"items": [], "role": "admin"}', "role"),
        (b'{"items": [], "\\ud800": 1}', None),
        (b'{"items": [], "\\u0000": 1}', None),
        (b"{", "body"),
        (b"[]", "body"),
        (b"\xff", None),
        (b'{"items": NaN}', None),
        (b'{"items": ' + b"[" * 900, None),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_a_body_with_faults_is_refused(http: httpx.AsyncClient, body: bytes, field: str | None) -> None:
    """The response is 422 or 400, never 500, and names the field if there is one."""
    answer = await http.post("/bodies", content=body, headers={"Content-Type": "application/json"})
    problem = _problem(answer, answer.status_code)
    assert answer.status_code in (400, 422)
    if field:
        assert [error["field"] for error in answer.json()["errors"]] == [field], problem


async def test_a_stream_that_breaks_is_not_ended_as_if_complete(http: httpx.AsyncClient) -> None:
    """If the status has already been sent, the exception reaches the server, which closes the connection."""
    with pytest.raises(KeyError):
        await http.get("/torn")


@pytest.mark.parametrize(("given", "kept"), [("abc-123", True), ("a b", False), ("x" * 65, False), ("", False)])
async def test_a_sound_request_id_is_kept(http: httpx.AsyncClient, given: str, kept: bool) -> None:
    """The caller's id is kept unless it could break a log line; otherwise a new one is made."""
    answer = await http.get("/livez", headers={"X-Request-Id": given})
    assert (answer.headers["X-Request-Id"] == given) is kept
    assert answer.headers["X-Request-Id"]


async def test_a_trace_is_continued(http: httpx.AsyncClient) -> None:
    """The problem names the caller's trace."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = await http.get("/nowhere", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert _problem(answer, 404)["trace_id"] == trace


async def _answers() -> None:
    pass


async def _refuses() -> None:
    raise ConnectionRefusedError("no route to it")


async def _hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("needed", "useful", "status", "says"),
    [
        (_answers, _answers, 200, "ready"),
        (_answers, _refuses, 200, "degraded"),
        (_refuses, _answers, 503, "unavailable"),
        (_hangs, _answers, 503, "unavailable"),
    ],
)
async def test_readiness_names_what_fails(
    app: FastAPI,
    http: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    needed: probes.Check,
    useful: probes.Check,
    status: int,
    says: str,
) -> None:
    """The service is not ready without needed dependencies and degraded without useful ones; liveness checks
    neither."""
    monkeypatch.setattr(probes, "CHECK_TIMEOUT_S", 0.05)
    app.state.checks.needed["postgres"] = needed
    app.state.checks.useful["rabbitmq"] = useful
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (status, says)
    found = answer.json()["checks"]
    assert [found["postgres"] == "ok", found["rabbitmq"] == "ok"] == [needed is _answers, useful is _answers]
    assert (await http.get("/livez")).status_code == 200


def test_an_error_without_words_says_its_title() -> None:
    """No problem has an empty detail."""
    assert Taken().detail == "Taken already"
    assert isinstance(Taken(), DashboardError)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/plain", 200),
        ("HEAD", "/plain", 200),
        ("GET", "/plain/7", 200),
        ("HEAD", "/plain/7", 200),
        ("POST", "/plain", 405),
        ("POST", "/plain/7", 405),
        ("GET", "/plain/x", 404),
        ("GET", "/plain/7/8", 404),
    ],
)
async def test_plain_routes_meet_the_same_context(method: str, path: str, status: int) -> None:
    """Whether matched by path alone or by FastAPI's router, a request gets its id, and a wrong method the allowed
    ones."""

    class Endpoint:
        async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
            parameters.append(scope["path_params"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    parameters: list[dict[str, int]] = []
    routes = [AsgiRoute(template, Endpoint(), methods=["GET"]) for template in ("/plain", "/plain/{id:int}")]
    made = create_app("example", ServiceSettings(environment="development"), lifespan=_nothing, routes=routes)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://example") as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers.get_list("X-Request-Id")[1:] == []
    assert answer.headers.get("Allow", "GET, HEAD") in ("GET, HEAD", "HEAD, GET")
    assert parameters == ([{"id": 7} if path == "/plain/7" else {}] if status == 200 else [])
