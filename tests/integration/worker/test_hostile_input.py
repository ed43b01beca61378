"""Whatever the worker is sent, past the gateway: the answer is the client's fault and says so."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.identity import USER_ROLE_HEADER
from tests.support import hostile
from tests.support.worker.world import World, as_user

TAKING_JSON = [
    ("POST", "/v1/reports"),
    ("POST", "/v1/webhooks"),
    ("POST", "/v1/admin/jobs/replay"),
    ("POST", "/v1/admin/jobs/discard"),
    ("POST", "/internal/panels/notifications"),
    ("POST", "/internal/panels/analytics"),
]
LISTS = ["/v1/notifications", "/v1/reports", "/v1/imports", "/v1/webhooks", "/v1/admin/jobs"]
REPORT: dict[str, Any] = {"kind": "orders", "from": "2026-01-01", "to": "2026-01-31"}
WEBHOOK: dict[str, Any] = {"url": "https://example.com/hook", "events": ["order.created"]}
WRONG = [-1, hostile.INT64, 10**30, 1.5, True, "", "\0", "x" * 10_000, [], {}, [[]]]
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture
def ask(world: World) -> hostile.Ask:
    """As an administrator, who may call everything."""
    headers = as_user(uuid4()) | {USER_ROLE_HEADER: "admin"}

    async def asked(method: str, path: str, **request: Any) -> httpx.Response:
        return await world.http.request(method, path, headers=headers | request.pop("headers", {}), **request)

    return asked


@hostile.bodies
async def test_bodies_that_are_no_request(ask: hostile.Ask, body: bytes) -> None:
    """4xx as a problem on every route that takes one."""
    await hostile.refuses_body(ask, body, TAKING_JSON)


@hostile.pages
async def test_pages_that_no_list_has(ask: hostile.Ask, page: str) -> None:
    """A milliard rows, or behind a cursor that nobody was given."""
    await hostile.refuses_page(ask, page, LISTS)


@pytest.mark.parametrize(
    ("path", "good"), [("/v1/reports", REPORT), ("/v1/webhooks", WEBHOOK)], ids=["report", "webhook"]
)
async def test_values_that_are_no_value_for_the_field(ask: hostile.Ask, path: str, good: dict[str, Any]) -> None:
    """422 that names the field, and nothing is made of it."""
    for field in good:
        for value in WRONG:
            answer = await ask("POST", path, json=good | {field: value})
            hostile.assert_refused(answer, 422)
            assert any(field in error["field"] for error in answer.json()["errors"]), (field, answer.text)
    assert (await ask("GET", path)).json()["items"] == []


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


@pytest.mark.parametrize("name", ["x", "%00", "%F0%9F%99%82", "1" * 5000])
async def test_paths_that_name_nothing(ask: hostile.Ask, name: str) -> None:
    """404 or 422 as a problem."""
    for path in ("/v1/notifications/{}/read", "/v1/imports/{}/cancel", "/v1/webhooks/{}/test"):
        hostile.assert_refused(await ask("POST", path.format(name)), 404, 422)
    for path in ("/v1/reports/{}", "/v1/imports/{}", "/v1/webhooks/{}", "/v1/admin/jobs/mail/{}"):
        hostile.assert_refused(await ask("GET", path.format(name)), 404, 422)


async def test_a_body_without_end(ask: hostile.Ask, world: World) -> None:
    """413 as soon as it is too large; what follows is not even taken."""
    for path in ("/v1/reports", "/v1/webhooks"):
        await hostile.refuses_endless_body(ask, "POST", path, world.settings.max_body_bytes)


async def test_only_the_gateways_own_token_opens(world: World) -> None:
    """Unsigned, by another key, expired, for another audience, a user's: 401, whoever the headers name."""
    await hostile.refuses_forged_tokens(world.app, [*TAKING_JSON[:4], *(("GET", path) for path in LISTS)])
