"""The steps of a browser that signs in with an identity provider, through the gateway."""

import json
from http.cookies import SimpleCookie
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.gateway.api.identity_providers import COOKIE
from shared.contracts.internal_api import (
    IDENTITY_CALLBACKS,
    IDENTITY_FLOWS,
    IDENTITY_LINK_ACCOUNT,
    IDENTITY_LINKS,
)
from shared.http.identity import SESSION_ID_HEADER, USER_ID_HEADER
from shared.ids import new_id
from tests.support.gateway.stub import StubService, replies, reset
from tests.support.gateway.world import Start, World

SIGN_IN, CALLBACK = "/v1/identity-providers/example/sign-in", "/v1/identity-providers/example/callback"
LINK = "/v1/identity-links"
PROVIDER = "https://identity.example.com/authorize?state=x"
STARTED = {"url": PROVIDER, "secret": "the-secret"}
HELD = {"Cookie": f"{COOKIE}=the-secret"}
HTML = {"Accept": "text/html"}
PAIR = {"access_token": "a", "token_type": "bearer", "expires_in": 900, "refresh_token": "the-refresh-token"}


def tell(world: World, path: str, body: Any, status: int = 200) -> None:
    world.users.behaviours[path] = replies(json.dumps(body).encode(), status)


def heard(service: StubService, path: str) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in service.received if request.path == path]


def cookies(answer: httpx.Response) -> dict[str, str]:
    """The cookies that a response sets, by name and path."""
    found = [SimpleCookie(line) for line in answer.headers.get_list("Set-Cookie")]
    return {f"{name} {morsel['path']}": morsel.OutputString() for each in found for name, morsel in each.items()}


async def test_a_browser_is_sent_to_the_provider(world: World) -> None:
    """With a cookie that scripts cannot read, that is sent when it returns, and only to these paths."""
    tell(world, IDENTITY_FLOWS, STARTED)
    answer = await world.client.get(SIGN_IN, headers={"User-Agent": "Firefox"})
    assert (answer.status_code, answer.headers["Location"]) == (303, PROVIDER)
    assert answer.headers["Cache-Control"] == "no-store"
    (cookie,) = cookies(answer).values()
    assert cookie.startswith(f"{COOKIE}=the-secret;")
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/v1/identity-providers/", "Max-Age=600"):
        assert attribute in cookie
    assert heard(world.users, IDENTITY_FLOWS) == [{"provider": "example"}]


async def test_a_browser_that_returns_is_signed_in(world: World) -> None:
    """It goes to the page, with the cookie of a session. No address contains a token, and unknown parameters are
    ignored."""
    tell(world, IDENTITY_CALLBACKS, {"page": "/", "refresh_token": "the-refresh-token", "link_secret": None})
    told = {"state": "s", "code": "c", "session_state": "x", "scope": "openid", "iss": "https://identity.example.com"}
    answer = await world.client.get(CALLBACK, params=told, headers=HELD)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    set_ = cookies(answer)
    assert set_["dashboard_session /web/session"].startswith("dashboard_session=the-refresh-token;")
    assert "SameSite=strict" in set_["dashboard_session /web/session"]
    assert "Max-Age=0" in set_[f"{COOKIE} /v1/identity-providers/"]
    assert "the-refresh-token" not in answer.headers["Location"] + answer.text
    expected = {"provider": "example", "secret": "the-secret", "state": "s", "code": "c", "iss": told["iss"]}
    assert heard(world.users, IDENTITY_CALLBACKS) == [expected]


@pytest.mark.parametrize(
    ("query", "headers", "error"),
    [
        ("state=s&code=c", {}, "expired"),
        ("code=c", HELD, "expired"),
        ("state=s&state=t&code=c", HELD, "invalid"),
        ("state=s&code=" + "c" * 5000, HELD, "invalid"),
        ("state=s&code=c", {"Cookie": f"{COOKIE}={'x' * 500}"}, "expired"),
    ],
)
async def test_a_return_that_cannot_be_right(world: World, query: str, headers: dict[str, str], error: str) -> None:
    """Without the cookie or the state, or with parameters that no provider sends: the users service is not asked."""
    answer = await world.client.get(f"{CALLBACK}?{query}", headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/#/sign-in?error={error}")
    assert "dashboard_session" not in str(answer.headers)
    assert heard(world.users, IDENTITY_CALLBACKS) == []


async def test_a_password_is_asked_for(world: World) -> None:
    """The browser keeps the secret in a cookie for that route alone, which no other site can make it send. The password
    signs it in."""
    place = "/#/link?ticket=t&provider=Example"
    tell(world, IDENTITY_CALLBACKS, {"page": place, "refresh_token": None, "link_secret": "link-secret"})
    answer = await world.client.get(CALLBACK, params={"state": "s", "code": "c"}, headers=HELD)
    assert answer.headers["Location"] == place
    cookie = cookies(answer)[f"{COOKIE} {LINK}"]
    assert all(part in cookie for part in ("link-secret", "HttpOnly", "SameSite=strict", "Max-Age=600"))
    tell(world, IDENTITY_LINK_ACCOUNT, {"email": f"{uuid4().hex}@example.com"})
    tell(world, IDENTITY_LINKS, PAIR)
    body = {"ticket": "t", "password": "correct horse battery"}
    linked = await world.client.post(LINK, json=body, headers={"Cookie": f"{COOKIE}=link-secret"})
    assert linked.json() == {"access_token": "a", "token_type": "bearer", "expires_in": 900}
    assert "the-refresh-token" in cookies(linked)["dashboard_session /web/session"]
    assert "Max-Age=0" in cookies(linked)[f"{COOKIE} {LINK}"]
    assert heard(world.users, IDENTITY_LINKS) == [{"secret": "link-secret", **body}]


async def test_guesses_with_a_ticket_count_as_sign_ins(start: Start) -> None:
    """At the account, together with those of the sign-in form. A refused ticket counts nothing."""
    email = f"{uuid4().hex}@example.com"
    async with start(limit_login_account="2/year") as world:
        tell(world, IDENTITY_LINK_ACCOUNT, {"email": email})
        tell(world, IDENTITY_LINKS, {"code": "wrong_password"}, 422)
        tell(world, "/v1/tokens", {}, 401)
        guess = {"ticket": "t", "password": "wrong"}
        assert (await world.client.post(LINK, json=guess, headers=HELD)).status_code == 422
        form = {"username": email, "password": "wrong"}
        assert (await world.client.post("/v1/tokens", data=form)).status_code == 401
        assert (await world.client.post(LINK, json=guess, headers=HELD)).status_code == 429
        assert len(heard(world.users, IDENTITY_LINKS)) == 1


async def test_sign_ins_with_a_provider_count_by_address(start: Start) -> None:
    """Like those with a password."""
    async with start(limit_login_address="3/year") as world:
        tell(world, IDENTITY_FLOWS, STARTED)
        tell(world, "/v1/tokens", {}, 401)
        form = {"username": "a@example.com", "password": "x"}
        statuses = [(await world.client.get(SIGN_IN)).status_code, (await world.client.get(CALLBACK)).status_code]
        statuses += [(await world.client.post("/v1/tokens", data=form)).status_code]
        statuses += [(await world.client.get(SIGN_IN)).status_code]
        assert statuses == [303, 303, 401, 429]


async def test_no_other_site_links(world: World) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Content-Type": "text/plain"}):
        answer = await world.client.post(LINK, content=b'{"ticket":"t","password":"p"}', headers=HELD | headers)
        assert answer.status_code in (403, 422)
    assert heard(world.users, IDENTITY_LINK_ACCOUNT) == []


async def test_a_signed_in_user_links_or_confirms(world: World) -> None:
    """With the access token, and for their session. Only the answer to it has the address, so no other site can make
    somebody link an identity."""
    tell(world, IDENTITY_FLOWS, STARTED)
    user, session = new_id(), new_id()
    headers = world.bearer(user, session=session)
    answer = await world.client.post(SIGN_IN, json={"purpose": "confirm"}, headers=headers)
    assert answer.json() == {"url": PROVIDER}
    assert "the-secret" in cookies(answer)[f"{COOKIE} /v1/identity-providers/"]
    assert heard(world.users, IDENTITY_FLOWS) == [{"provider": "example", "purpose": "confirm"}]
    (request,) = [each for each in world.users.received if each.path == IDENTITY_FLOWS]
    assert request.values(USER_ID_HEADER) == [str(user)]
    assert request.values(SESSION_ID_HEADER) == [str(session)]
    for body in ({}, {"purpose": "sign_in"}, {"purpose": "link", "user_id": str(new_id())}):
        assert (await world.client.post(SIGN_IN, json=body, headers=headers)).status_code == 422
    assert (await world.client.post(SIGN_IN, json={"purpose": "link"})).status_code == 401


async def test_guesses_of_a_signed_in_user_count_as_sign_ins(start: Start) -> None:
    """When the password is needed to link an identity."""
    async with start(limit_login_account="1/year") as world:
        tell(world, "/v1/me", {"email": f"{uuid4().hex}@example.com"})
        tell(world, IDENTITY_FLOWS, {"code": "wrong_password"}, 422)
        body = {"purpose": "link", "current_password": "wrong"}
        headers = world.bearer()
        statuses = [(await world.client.post(SIGN_IN, json=body, headers=headers)).status_code for _ in range(2)]
        assert statuses == [422, 429]
        assert len(heard(world.users, IDENTITY_FLOWS)) == 1


async def test_what_a_service_refuses(world: World) -> None:
    """A program gets the problem; a person goes back to the page, which has words for it."""
    tell(world, IDENTITY_FLOWS, {"code": "identity_provider_unavailable"}, 503)
    told = await world.client.get(SIGN_IN)
    assert (told.status_code, told.json()["code"]) == (503, "identity_provider_unavailable")
    shown = await world.client.get(SIGN_IN, headers=HTML)
    assert (shown.status_code, shown.headers["Location"]) == (303, "/#/sign-in?error=unavailable")
    tell(world, IDENTITY_CALLBACKS, {"code": "internal"}, 500)
    returned = await world.client.get(CALLBACK, params={"state": "s", "code": "c"}, headers=HELD)
    assert returned.headers["Location"] == "/#/sign-in?error=unavailable"
    tell(world, IDENTITY_LINK_ACCOUNT, {"code": "invalid_link"}, 422)
    refused = await world.client.post(LINK, json={"ticket": "t", "password": "p"}, headers=HELD)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_link")


async def test_a_users_service_that_is_away(world: World) -> None:
    for path in (IDENTITY_FLOWS, IDENTITY_CALLBACKS):
        world.users.behaviours[path] = reset
    assert (await world.client.get(SIGN_IN)).status_code in (503, 504)
    assert (await world.client.get(SIGN_IN, headers=HTML)).headers["Location"] == "/#/sign-in?error=unavailable"
    returned = await world.client.get(CALLBACK, params={"state": "s", "code": "c"}, headers=HELD)
    assert returned.headers["Location"] == "/#/sign-in?error=unavailable"


async def test_over_https_the_cookies_say_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.gateway.settings, "secure_cookies", True)
    tell(world, IDENTITY_FLOWS, STARTED)
    assert all("Secure" in each for each in cookies(await world.client.get(SIGN_IN)).values())
