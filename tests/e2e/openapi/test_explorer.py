"""The explorer finds every kind of failure."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.e2e.openapi.explore import Found, explore
from tests.e2e.openapi.system import EVERYBODY, Credentials, Service
from tests.support.served import listening

pytestmark = pytest.mark.full

app = FastAPI()
RETRY_S = 0.0
REQUEST_ID = {"X-Request-Id": "x"}


class Number(BaseModel):
    number: int


@app.get("/sound", response_model=Number, openapi_extra={"security": []})
async def _sound() -> Response:
    return JSONResponse({"number": 1}, headers=REQUEST_ID)


@app.get("/crash", response_model=Number)
async def _crash() -> Response:
    return JSONResponse({}, 500, REQUEST_ID)


@app.get("/other-body", response_model=Number)
async def _other_body() -> Response:
    return JSONResponse({"number": "one"}, headers=REQUEST_ID)


@app.get("/other-type", response_model=Number)
async def _other_type() -> Response:
    return PlainTextResponse("1", headers=REQUEST_ID)


@app.get("/unsaid", response_model=Number)
async def _unsaid() -> Response:
    return JSONResponse({"status": 410}, 410, REQUEST_ID, "application/problem+json")


@app.get("/no-problem", response_model=Number, responses={404: {}})
async def _no_problem() -> Response:
    return JSONResponse({}, 404, REQUEST_ID)


@app.get("/unguarded", response_model=Number)
async def _unguarded() -> Response:
    return JSONResponse({"number": 1}, headers=REQUEST_ID)


@app.get("/overloaded", response_model=Number, responses={503: {}})
async def _overloaded() -> Response:
    """Always overloaded."""
    return JSONResponse({"status": 503}, 503, REQUEST_ID | {"Retry-After": "1"}, "application/problem+json")


refusals = itertools.count()


@app.get("/busy", response_model=Number, openapi_extra={"security": []})
async def _busy() -> Response:
    """Overloaded every second time, which the document does not declare."""
    if next(refusals) % 2:
        return JSONResponse({"number": 1}, headers=REQUEST_ID)
    return JSONResponse({"status": 503}, 503, REQUEST_ID | {"Retry-After": "1"}, "application/problem+json")


@app.post("/rare", response_model=Number)
async def _rare(body: Number) -> Response:
    """Fails for a rare kind of body."""
    status = 500 if body.number < -(2**31) else 200
    return JSONResponse({"number": 1}, status, REQUEST_ID)


@pytest.fixture(scope="module")
async def found(explorer: ProcessPoolExecutor) -> AsyncIterator[Found]:
    async with listening(app) as port:
        everybody = dict.fromkeys(EVERYBODY, Credentials({}))
        service = Service(f"http://127.0.0.1:{port}", app.openapi(), everybody)
        yield await asyncio.get_running_loop().run_in_executor(explorer, explore, service, {}, 40, RETRY_S)


async def test_whatever_is_wrong_is_found(found: Found) -> None:
    """It finds a 5xx, including a rare one, a permanent 503, another body, type or status than described, an error that
    is not a problem, and a missing guard."""
    broken = {wrong.partition(",")[0].partition(" ")[2] for wrong in found.broken}
    assert broken >= {
        "/crash",
        "/other-body",
        "/other-type",
        "/unsaid",
        "/no-problem",
        "/unguarded",
        "/rare",
        "/overloaded",
    }


async def test_what_is_sound_is_not_found(found: Found) -> None:
    """A correct service has no findings, and was explored."""
    assert found.operations == 10
    assert not any("/sound" in wrong for wrong in found.broken)


async def test_who_is_asked_to_come_back_does(found: Found) -> None:
    """A temporary response with `Retry-After` is not a failure."""
    assert next(refusals) > 1
    assert not any("/busy" in wrong for wrong in found.broken)
