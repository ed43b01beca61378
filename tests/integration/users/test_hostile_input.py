"""Whatever is sent, the answer is the client's fault and says so."""

from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI

from tests.support import hostile
from tests.support.users import PASSWORD, Gateway

AUDIT = "/v1/admin/audit"
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "\0",
    "x" * 10_000,
    [],
    {},
    [[]],
    {"$ne": None},
    "\u202e",
    "' OR 1=1 --",
]


@hostile.bodies
async def test_bodies_that_are_no_request(gateway: Gateway, body: bytes) -> None:
    """4xx as a problem on every route that takes one; never a 500."""
    person = await gateway.register()
    routes = (
        ("POST", "/v1/users"),
        ("PATCH", "/v1/me"),
        ("POST", "/v1/tokens/refresh"),
        ("POST", "/internal/panels/user"),
    )
    await hostile.refuses_body(partial(gateway.call, person), body, routes)


@hostile.pages
async def test_pages_that_no_list_has(gateway: Gateway, page: str) -> None:
    """A milliard rows, or behind a cursor that nobody was given."""
    person = (await gateway.register()).having("admin")
    await hostile.refuses_page(partial(gateway.call, person), page, ["/v1/users", AUDIT])


async def test_a_body_without_end(service: tuple[FastAPI, Gateway]) -> None:
    """413 as soon as it is too large; what follows is not even taken."""
    app, gateway = service
    person = await gateway.register()
    for method, path in (("POST", "/v1/users"), ("PATCH", "/v1/me")):
        most = app.state.settings.max_body_bytes
        await hostile.refuses_endless_body(partial(gateway.call, person), method, path, most)


@pytest.mark.parametrize("field", ["email", "name", "password", "current_password"])
async def test_values_that_are_no_value_for_the_field(gateway: Gateway, field: str) -> None:
    """200, 201 or 4xx, whatever stands in one field of an otherwise good body."""
    person = await gateway.register()
    for value in VALUES:
        body = {"email": f"h-{person.email}", "name": "Ada", "password": PASSWORD} | {field: value}
        for method, path in (("POST", "/v1/users"), ("PATCH", "/v1/me")):
            answer = await gateway.call(person, method, path, json=body)
            assert answer.status_code in (200, 201, 409, 422), (path, value)


@pytest.mark.parametrize(
    "path",
    ["/v1/users/x", "/v1/users/%00", "/v1/users/%F0%9F%99%82", "/v1/users/00000000", "/v1/users//"],
)
async def test_paths_that_name_no_user(gateway: Gateway, path: str) -> None:
    """404 or 422 as a problem."""
    person = await gateway.register()
    answer = await gateway.call(person.having("admin"), "GET", path)
    assert answer.status_code in (404, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-User-Id": "x"},
        {"X-User-Id": ""},
        {"X-User-Role": "root"},
        {"X-User-Role": ""},
        {"X-Session-Id": "x"},
        {"X-Session-Id": "\u00e9".encode("latin-1")},
    ],
    ids=repr,
)
async def test_an_identity_that_cannot_be_read(gateway: Gateway, headers: dict[str, Any]) -> None:
    """401: the gateway did not say who is calling."""
    person = await gateway.register()
    assert (await gateway.call(person, "GET", "/v1/me", headers=headers)).status_code == 401


async def test_only_the_gateways_own_token_opens(service: tuple[FastAPI, Gateway]) -> None:
    """Unsigned, by another key, expired, for another audience, a user's: 401, whoever the headers name."""
    routes = [("GET", "/v1/me"), ("DELETE", "/v1/me"), ("POST", "/v1/users"), ("GET", "/v1/users"), ("GET", AUDIT)]
    await hostile.refuses_forged_tokens(service[0], routes)
