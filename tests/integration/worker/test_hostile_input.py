"""Forms that the worker is sent, past the gateway: the answer is the client's fault and says so."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.http.identity import USER_ROLE_HEADER
from tests.support import hostile
from tests.support.worker.world import World, as_user

FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture
def ask(world: World) -> hostile.Ask:
    """As an administrator, who may call everything."""
    headers = as_user(uuid4()) | {USER_ROLE_HEADER: "admin"}

    async def asked(method: str, path: str, **request: Any) -> httpx.Response:
        return await world.http.request(method, path, headers=headers | request.pop("headers", {}), **request)

    return asked


@pytest.mark.parametrize(
    "body",
    [b"", b"rubbish", b"--x--\r\n", b"--x\r\n\r\n\r\n--x--\r\n", b"--x\r\n" + b"A: b\r\n" * 10_000, b"\xff" * 1000],
    ids=lambda body: repr(body)[:20],
)
async def test_forms_that_are_no_import(ask: hostile.Ask, body: bytes) -> None:
    """4xx as a problem, whatever stands where the file should be, and in whatever it is said to come."""
    for kind in (FORM, hostile.JSON, {"Content-Type": "multipart/form-data"}, {"Content-Type": "text/csv"}):
        hostile.assert_refused(await ask("POST", "/v1/imports", content=body, headers=kind))
    assert (await ask("GET", "/v1/imports")).json()["items"] == []
