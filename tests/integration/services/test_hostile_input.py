"""Hostile input for each service, without the gateway: the response is always a 4xx problem."""

from typing import Any

import pytest
from fastapi import FastAPI

from shared.http.application import MAX_BODY_BYTES
from shared.http.identity import SESSION_ID_HEADER, USER_ID_HEADER, USER_ROLE_HEADER
from tests.support import hostile
from tests.support.services.description import Call, Service, Somebody
from tests.support.services.every import EVERY, each

NAMES = ("x", "%00", "%F0%9F%99%82", "00000000", "/", "1" * 5000)
UNREADABLE: list[dict[str, Any]] = [
    {USER_ID_HEADER: "x"},
    {USER_ID_HEADER: ""},
    {USER_ROLE_HEADER: "root"},
    {USER_ROLE_HEADER: ""},
    {SESSION_ID_HEADER: "x"},
    {SESSION_ID_HEADER: "\u00e9".encode("latin-1")},
]


@pytest.fixture
def admin(app: FastAPI, somebody: Somebody) -> Somebody:
    """An administrator, who may call everything."""
    return Somebody(app, somebody.user_id, "admin")


async def assert_nothing_made(service: Service, somebody: Somebody) -> None:
    for path in service.own:
        answer = await somebody.get(path)
        assert (answer.status_code, answer.json()["items"]) == (200, []), path


@pytest.fixture
def newcomer(app: FastAPI) -> Somebody:
    """An administrator without any data."""
    return Somebody(app, role="admin")


@each
@hostile.bodies
async def test_bodies_that_are_no_request(service: Service, admin: Somebody, newcomer: Somebody, body: bytes) -> None:
    """Every route that has a body answers 4xx with a problem to users with an account, and nothing is stored."""
    await hostile.refuses_body(admin.request, body, service.taking_json)
    await hostile.refuses_body(newcomer.request, body, service.taking_json)
    await assert_nothing_made(service, newcomer)


@each
@hostile.pages
async def test_pages_that_no_list_has(service: Service, newcomer: Somebody, page: str) -> None:
    """Pages of a billion rows, and cursors that do not exist, are refused."""
    await hostile.refuses_page(newcomer.request, page, service.lists)


@pytest.mark.parametrize("service", [one for one in EVERY if list(one.wrong())], ids=str)
async def test_values_that_are_no_value_for_the_field(service: Service, newcomer: Somebody) -> None:
    """The response is 422 and names the field, and nothing is stored."""
    for path, field, body in service.wrong():
        answer = await newcomer.post(path, json=body)
        hostile.assert_refused(answer, 422)
        assert any(field in error["field"] for error in answer.json()["errors"]), (field, answer.text)
    await assert_nothing_made(service, newcomer)


@each
async def test_paths_that_name_nothing(service: Service, newcomer: Somebody) -> None:
    """The response is a 404 or 422 problem."""
    for method, path in service.naming:
        for name in NAMES:
            hostile.assert_refused(await newcomer.request(method, path.format(name)), 404, 422)


@each
@pytest.mark.parametrize("headers", UNREADABLE, ids=repr)
async def test_an_identity_that_cannot_be_read(service: Service, somebody: Somebody, headers: dict[str, Any]) -> None:
    """The response is 401: the gateway did not send the caller's identity."""
    read = service.read
    assert (await read.by(somebody)).status_code == 200
    assert (await Call(read.method, read.path, {"headers": headers}).by(somebody)).status_code == 401


@each
async def test_a_body_without_end(service: Service, admin: Somebody) -> None:
    """The response is 413 as soon as the body is too large; the rest is not read."""
    for method, path in service.taking_json:
        await hostile.refuses_endless_body(admin.request, method, path, MAX_BODY_BYTES)


@each
async def test_only_the_gateways_own_token_opens(service: Service, app: FastAPI) -> None:
    """Tokens without a signature, with another key, expired, for another audience, or of a user are 401, whatever
    identity the headers have."""
    await hostile.refuses_forged_tokens(app, service.guarded)
