"""Repeated headers, and unknown query parameters."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Query
from pydantic import BaseModel, SecretStr

from shared.config.settings import ServiceSettings
from shared.errors import InvalidInput
from shared.http import application
from shared.http.strict_parameters import IGNORES_UNKNOWN, ONCE
from shared.http.strict_parameters import Query as KnownQuery


class Filter(BaseModel):
    state: str | None = None
    tags: list[str] = []


router = APIRouter()


@router.get("/things/{id}")
async def read_things(id: int, page: Annotated[int, Query(alias="p")] = 1) -> int:  # noqa: A002
    return id + page


@router.get("/models")
async def read_models(wanted: Annotated[Filter, Query()]) -> str | None:
    return wanted.state


_LISTED = {"name": "words", "in": "query", "schema": {"type": "array"}}


@router.get("/lists", openapi_extra={"parameters": [_LISTED, {"name": "word", "in": "query"}]})
async def read_lists(
    ids: Annotated[list[int], Query()],
    names: Annotated[set[str] | None, Query()] = None,
    one: int = 1,
) -> int:
    return len(ids) + len(names or ()) + one


@router.post("/things", openapi_extra={"parameters": [{"name": "dry", "in": "query"}]})
async def make_thing(name: Annotated[str, Query()]) -> str:
    return name


@router.get("/callbacks", openapi_extra={IGNORES_UNKNOWN: True})
async def receive_callback(code: str) -> str:
    return code


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    settings = ServiceSettings(environment="development", internal_token_secret=SecretStr("s" * 32))
    app = application.create_app("strict", settings, lifespan=lifespan, routes=[router])
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http,
    ):
        yield http


@pytest.mark.parametrize(
    ("method", "target", "unknown"),
    [
        ("GET", "/things/1", []),
        ("GET", "/things/1?p=2", []),
        ("HEAD", "/things/1?p=2", []),
        ("GET", "/models?state=a", []),
        ("POST", "/things?name=a&dry=1", []),
        ("GET", "/livez?anything", []),
        ("GET", "/things/1?page=2", ["page"]),
        ("HEAD", "/things/1?page=2", ["page"]),
        ("GET", "/things/1?P=2", ["P"]),
        ("GET", "/things/1?nonsense", ["nonsense"]),
        ("GET", "/things/1?p=1&%C3%BC=2&b", ["ü", "b"]),
        ("GET", "/models?wanted=a", ["wanted"]),
        ("POST", "/things?name=a&nonsense=1", ["nonsense"]),
    ],
)
async def test_only_parameters_in_the_description_are_taken(
    http: httpx.AsyncClient, method: str, target: str, unknown: list[str]
) -> None:
    """Other parameters are 422 and named, on every route except the probes."""
    answer = await http.request(method, target)
    assert answer.status_code == (422 if unknown else 200)
    if unknown and method != "HEAD":
        assert [each["field"] for each in answer.json()["errors"]] == unknown


def test_a_route_of_plain_asgi_says_what_it_knows() -> None:
    """The message lists the known parameters."""
    known = KnownQuery(frozenset({"panels", "budget_ms"}), lists=frozenset({"panels"}))
    known.check(b"panels=a&panels=b&budget_ms=1")
    with pytest.raises(InvalidInput, match="panel: is not known; the parameters are budget_ms, panels"):
        known.check(b"panels=a&panel=b")
    with pytest.raises(InvalidInput, match="budget_ms: must not be repeated"):
        known.check(b"budget_ms=1&budget_ms=1")


@pytest.mark.parametrize(
    ("target", "repeated"),
    [
        ("/things/1?p=1&p=2", ["p"]),
        ("/things/1?p=1&p=1", ["p"]),
        ("/things/1?p=1&%70=1", ["p"]),
        ("/things/1?p&p", ["p"]),
        ("/models?state=a&state=b", ["state"]),
        ("/models?state=a&tags=b&tags=c", []),
        ("/lists?ids=1&ids=2&names=a&names=b&words=a&words=b", []),
        ("/lists?ids=1&ids=2&one=1&one=2&word=a&word=b", ["one", "word"]),
    ],
)
async def test_a_parameter_with_one_value_comes_once(http: httpx.AsyncClient, target: str, repeated: list[str]) -> None:
    """A repeated parameter is 422 and named, even with the same value. A list may have many."""
    answer = await http.get(target)
    assert answer.status_code == (422 if repeated else 200)
    if repeated:
        assert [(each["field"], each["message"]) for each in answer.json()["errors"]] == [
            (name, "must not be repeated") for name in repeated
        ]


@pytest.mark.parametrize("name", sorted(ONCE))
async def test_a_header_with_one_value_comes_once(http: httpx.AsyncClient, name: bytes) -> None:
    """A repeated header is 400, even with the same value and if the request does not need it."""
    twice = [(name, b"1"), (name.title(), b"1")]
    answer = await http.get("/livez", headers=[*twice, (b"Accept", b"a"), (b"Accept", b"b")])
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].lower() == name.decode()


async def test_a_list_may_have_several_lines(http: httpx.AsyncClient) -> None:
    """`Accept` and `X-Forwarded-For` may have several lines."""
    lines = [("Accept", "a"), ("Accept", "b"), ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "192.0.2.2")]
    assert (await http.get("/livez", headers=lines)).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/things/1", "/openapi.json"])
async def test_head_is_answered_as_get(http: httpx.AsyncClient, path: str) -> None:
    """HEAD has the same status; the document does not contain HEAD."""
    assert (await http.head(path)).status_code == 200
    assert "head" not in (await http.get("/openapi.json")).json()["paths"]["/things/{id}"]
    assert (await http.head("/things")).status_code == 405


async def test_a_route_may_ignore_parameters(http: httpx.AsyncClient) -> None:
    """If other systems send browsers there (RFC 6749, section 4.1.2); what it knows still counts."""
    answer = await http.get("/callbacks?code=x&session_state=y&session_state=z")
    assert (answer.status_code, answer.json()) == (200, "x")
    assert (await http.get("/callbacks?session_state=y")).status_code == 422
