"""Signing in with a real OpenID provider, and linked identities."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from fastapi import FastAPI

from services.users.identities import flows
from shared.contracts.internal_api import (
    CONFIRM,
    IDENTITY_CALLBACKS,
    IDENTITY_FLOWS,
    IDENTITY_LINK_ACCOUNT,
    IDENTITY_LINKS,
    PERSONAL_DATA_PATH,
)
from shared.db.engine import Database
from tests.support.backends.databases import NewDatabase
from tests.support.identity_provider import IdentityProvider, identity_provider
from tests.support.patience import patiently
from tests.support.statements import statements
from tests.support.users import PASSWORD, Gateway, Person, serving, settings_for

NAME = "example"
IDENTITIES = "/v1/me/identities"


@pytest.fixture(scope="module")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[IdentityProvider]:
    async with identity_provider({}, tmp_path_factory.mktemp("provider")) as started:
        yield started


@pytest.fixture(scope="module")
async def service(new_database: NewDatabase, provider: IdentityProvider) -> AsyncIterator[tuple[FastAPI, Gateway]]:
    config = {"name": NAME, "title": "Example", "issuer": provider.issuer, "client_id": "shop", "client_secret": "any"}
    settings = settings_for(new_database("users"), oidc_providers=json.dumps([config]))
    async with patiently(serving(settings)) as running:
        yield running


@dataclass
class Browser:
    """A browser that signs in with the provider; `secret` is its cookie."""

    gateway: Gateway
    provider: IdentityProvider
    secret: str = ""
    page: str = ""
    told: dict[str, str] = field(default_factory=dict)

    async def begins(self, purpose: str = "sign_in", by: Person | None = None, **more: Any) -> httpx.Response:
        body = {"provider": NAME, "purpose": purpose, **more}
        answer = await self.gateway.http.post(IDENTITY_FLOWS, json=body, headers=by.headers if by else {})
        if answer.is_success:
            self.secret = answer.json()["secret"]
        return answer

    async def goes(self, subject: str, purpose: str = "sign_in", by: Person | None = None, **more: Any) -> str:
        """Sign in as this subject, and return; return the place on the page."""
        url = (await self.begins(purpose, by, **more)).raise_for_status().json()["url"]
        return await self.comes_back(await self.provider.returns(url, subject))

    async def comes_back(self, told: dict[str, str]) -> str:
        self.told = told
        known = {name: value for name, value in told.items() if name in ("state", "code", "error", "iss")}
        body = {"provider": NAME, "secret": self.secret, **known}
        finished = (await self.gateway.http.post(IDENTITY_CALLBACKS, json=body)).raise_for_status().json()
        self.page = finished["page"]
        self.refresh_token = finished["refresh_token"]
        self.link_secret = finished["link_secret"]
        return self.page

    @property
    def ticket(self) -> str:
        return httpx.QueryParams(self.page.partition("?")[2])["ticket"]

    async def person(self) -> Person:
        """Who has signed in."""
        pair = (await self.gateway.refresh(self.refresh_token or "")).raise_for_status().json()
        claims = jwt.decode(pair["access_token"], options={"verify_signature": False})
        return Person(claims["sub"], "", session_id=claims["sid"], refresh_token=pair["refresh_token"])


@pytest.fixture
def browser(gateway: Gateway, provider: IdentityProvider) -> Browser:
    return Browser(gateway, provider)


async def stranger(provider: IdentityProvider, **claims: Any) -> str:
    """A new person at the provider, with a verified address by default."""
    subject = uuid4().hex
    told = {"email": f"{subject}@example.com", "email_verified": True, "name": "Grace Hopper", **claims}
    async with httpx.AsyncClient(base_url=provider.issuer) as http:
        (await http.put(f"/users/{subject}", json=told)).raise_for_status()
    return subject


async def test_a_stranger_gets_an_account(browser: Browser, provider: IdentityProvider, gateway: Gateway) -> None:
    """With the name and the verified address of the provider, and without a password. The next sign-in is to the same
    account."""
    subject = await stranger(provider)
    assert await browser.goes(subject) == "/"
    person = await browser.person()
    profile = (await gateway.call(person, "GET", "/v1/me")).json()
    assert (profile["email"], profile["name"]) == (f"{subject}@example.com", "Grace Hopper")
    assert (profile["email_verified"], profile["has_password"]) == (True, False)
    assert await browser.goes(subject) == "/"
    assert (await browser.person()).id == person.id


async def test_an_account_with_the_address_asks_for_its_password(
    browser: Browser, provider: IdentityProvider, gateway: Gateway
) -> None:
    """Only then is the identity linked, and its next sign-in needs no password."""
    owner = await gateway.verified(await gateway.register())
    subject = await stranger(provider, email=owner.email)
    place = await browser.goes(subject)
    assert place.startswith("/#/link?ticket=")
    assert browser.refresh_token is None
    held = {"secret": browser.link_secret, "ticket": browser.ticket}
    assert (await gateway.http.post(IDENTITY_LINK_ACCOUNT, json=held)).json() == {"email": owner.email}
    wrong = await gateway.http.post(IDENTITY_LINKS, json=held | {"password": "not this one"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_password")
    linked = await gateway.http.post(IDENTITY_LINKS, json=held | {"password": PASSWORD})
    assert linked.status_code == 200
    again = await gateway.http.post(IDENTITY_LINKS, json=held | {"password": PASSWORD})
    assert (again.status_code, again.json()["code"]) == (422, "invalid_link")
    assert await browser.goes(subject) == "/"
    assert str((await browser.person()).id) == str(owner.id)


async def reason(browser: Browser, subject: str, *begun: Any, **more: Any) -> str:
    """Why the sign-in of this subject fails."""
    return reason_in(await browser.goes(subject, *begun, **more))


def reason_in(place: str) -> str:
    return httpx.QueryParams(place.partition("?")[2])["error"]


async def entries(db: Database, action: str, detail: str) -> int:
    async with db.connection() as connection:
        query = "SELECT count(*) FROM audit WHERE action = $1 AND detail LIKE $2"
        return int(await connection.fetchval(query, action, detail))


async def test_nothing_can_be_finished_twice(browser: Browser, provider: IdentityProvider, db: Database) -> None:
    """Neither in the same browser nor in another one; what fails is recorded."""
    assert await browser.goes(await stranger(provider)) == "/"
    before = await entries(db, "sign_in_failed", "%reason=expired")
    assert await browser.comes_back(browser.told) == "/#/sign-in?error=expired"
    assert browser.refresh_token is None
    assert await entries(db, "sign_in_failed", "%reason=expired") == before + 1


async def test_what_another_browser_began(browser: Browser, provider: IdentityProvider, gateway: Gateway) -> None:
    """An attacker's address with their code signs nobody in: the state is not that of the browser. What the browser
    itself began can still be finished."""
    attacker = Browser(gateway, provider)
    url = (await attacker.begins()).json()["url"]
    theirs = await provider.returns(url, await stranger(provider))
    own = (await browser.begins()).json()["url"]
    assert reason_in(await browser.comes_back(theirs)) == "expired"
    mine = await provider.returns(own, await stranger(provider))
    assert reason_in(await browser.comes_back(mine | {"state": theirs["state"]})) == "expired"
    assert await browser.comes_back(mine) == "/"


async def test_a_code_of_another_sign_in(browser: Browser, provider: IdentityProvider, gateway: Gateway) -> None:
    """Its ID token has another nonce."""
    attacker = Browser(gateway, provider)
    theirs = await provider.returns((await attacker.begins()).json()["url"], await stranger(provider))
    state = (await provider.returns((await browser.begins()).json()["url"], await stranger(provider)))["state"]
    assert reason_in(await browser.comes_back({"code": theirs["code"], "state": state})) == "invalid"


async def test_a_sign_in_that_took_too_long(browser: Browser, provider: IdentityProvider, db: Database) -> None:
    url = (await browser.begins()).json()["url"]
    told = await provider.returns(url, await stranger(provider))
    async with db.connection() as connection:
        await connection.execute("UPDATE identity_flows SET expires_at = now()")
    assert reason_in(await browser.comes_back(told)) == "expired"
    await flows.expire(db)
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM identity_flows WHERE expires_at < now()") == 0


async def test_what_a_provider_answers_instead(browser: Browser) -> None:
    """A refusal, an error that may pass, another issuer, or nothing."""
    assert await reason(browser, "") == "refused"
    for told, expected in (
        ({"error": "temporarily_unavailable"}, "unavailable"),
        ({"error": "invalid_request"}, "refused"),
        ({"code": "x", "iss": "https://evil.example.com"}, "invalid"),
        ({"code": "x"}, "expired"),
        ({}, "invalid"),
    ):
        url = httpx.URL((await browser.begins()).json()["url"])
        assert reason_in(await browser.comes_back({"state": url.params["state"], **told})) == expected


async def test_an_unknown_provider(gateway: Gateway) -> None:
    answer = await gateway.http.post(IDENTITY_FLOWS, json={"provider": "other"})
    assert (answer.status_code, answer.json()["code"]) == (404, "identity_provider_not_found")
    body = {"provider": "other", "secret": "x", "state": "x", "code": "x"}
    assert (await gateway.http.post(IDENTITY_CALLBACKS, json=body)).json()["page"] == "/#/sign-in?error=expired"


async def test_the_configured_providers(gateway: Gateway) -> None:
    assert (await gateway.http.get("/v1/identity-providers")).json() == [{"name": NAME, "title": "Example"}]


async def test_an_outage_of_the_provider(browser: Browser, provider: IdentityProvider) -> None:
    """Nobody is signed in, and the next attempt works."""
    url = (await browser.begins()).json()["url"]
    told = await provider.returns(url, await stranger(provider))
    await provider.link.cut()
    try:
        assert reason_in(await browser.comes_back(told)) == "unavailable"
    finally:
        await provider.link.mend()
    assert await browser.goes(await stranger(provider)) == "/"


@pytest.mark.parametrize("claims", [{"email_verified": False}, {"email_verified": None}])
async def test_an_address_that_is_not_verified_opens_nothing(
    browser: Browser, provider: IdentityProvider, gateway: Gateway, db: Database, claims: dict[str, Any]
) -> None:
    """Whether an account has it or not, the answer is the same, after the same statements."""
    owner = await gateway.verified(await gateway.register())
    taken, free = await stranger(provider, email=owner.email, **claims), await stranger(provider, **claims)
    run = []
    for subject in (taken, free):
        async with statements(db) as seen:
            assert await reason(browser, subject) == "address_unverified"
        run.append(seen)
    assert run[0] == run[1] != []
    assert await reason(browser, await stranger(provider, email=None)) == "address_missing"


async def test_an_account_that_nobody_verified_is_taken_over(
    browser: Browser, provider: IdentityProvider, gateway: Gateway
) -> None:
    """Whoever owns the address gets the account; the sessions and the password of whoever registered it end."""
    squatter = await gateway.newcomer()
    assert await browser.goes(await stranger(provider, email=squatter.email.upper())) == "/"
    owner = await browser.person()
    assert str(owner.id) == str(squatter.id)
    assert (await gateway.refresh(squatter.refresh_token)).status_code == 401
    assert (await gateway.login(squatter.email)).status_code == 401
    profile = (await gateway.call(owner, "GET", "/v1/me")).json()
    assert (profile["email_verified"], profile["has_password"]) == (True, False)


async def test_a_ticket_belongs_to_one_browser(
    browser: Browser, provider: IdentityProvider, gateway: Gateway, db: Database
) -> None:
    """Another one cannot use it, even with the password; and it expires."""
    owner = await gateway.verified(await gateway.register())
    await browser.goes(await stranger(provider, email=owner.email))
    stolen = {"secret": "another browser", "ticket": browser.ticket, "password": PASSWORD}
    answer = await gateway.http.post(IDENTITY_LINKS, json=stolen)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_link")
    guessed = {"secret": browser.link_secret, "ticket": "x", "password": PASSWORD}
    assert (await gateway.http.post(IDENTITY_LINKS, json=guessed)).status_code == 422
    async with db.connection() as connection:
        await connection.execute("UPDATE identity_flows SET expires_at = now()")
    late = stolen | {"secret": browser.link_secret}
    assert (await gateway.http.post(IDENTITY_LINKS, json=late)).json()["code"] == "invalid_link"
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM identities WHERE user_id = $1", owner.id) == 0


async def test_a_suspended_account_stays_shut(
    browser: Browser, provider: IdentityProvider, gateway: Gateway, db: Database
) -> None:
    """For its linked identity, and for one that has its address."""
    subject = await stranger(provider)
    await browser.goes(subject)
    known = await browser.person()
    owner = await gateway.verified(await gateway.register())
    async with db.connection() as connection:
        ids = [known.id, owner.id]
        await connection.execute("UPDATE users SET suspended_at = now() WHERE id = ANY($1::uuid[])", ids)
    assert await reason(browser, subject) == "suspended"
    assert await reason(browser, await stranger(provider, email=owner.email)) == "suspended"


async def test_linking_to_an_account(browser: Browser, provider: IdentityProvider, gateway: Gateway) -> None:
    """It takes the password or a sign-in of the last five minutes. The address at the provider does not matter. The
    identity then opens the account, and no other account can have it."""
    owner = await gateway.newcomer()
    subject = await stranger(provider, email_verified=False)
    wrong = await browser.begins("link", owner, current_password="not this one")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_password")
    assert (await browser.begins("link")).json()["code"] == "recent_sign_in_required"
    assert await browser.goes(subject, "link", owner, current_password=PASSWORD) == "/#/account?done=linked"
    assert browser.refresh_token is None
    assert await browser.goes(subject) == "/"
    assert str((await browser.person()).id) == str(owner.id)
    other = await gateway.newcomer()
    assert await browser.goes(subject, "link", other) == "/#/account?error=already_linked"


async def test_an_account_has_so_many_identities(
    browser: Browser, provider: IdentityProvider, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.users.identities.service.MAX_PER_USER", 1)
    owner = await gateway.newcomer()
    assert await browser.goes(await stranger(provider), "link", owner) == "/#/account?done=linked"
    assert await reason(browser, await stranger(provider), "link", owner) == "too_many_identities"


async def test_whoever_signs_out_meanwhile_links_nothing(
    browser: Browser, provider: IdentityProvider, gateway: Gateway
) -> None:
    owner = await gateway.newcomer()
    url = (await browser.begins("link", owner)).json()["url"]
    (await gateway.call(owner, "DELETE", "/v1/tokens")).raise_for_status()
    assert reason_in(await browser.comes_back(await provider.returns(url, await stranger(provider)))) == "expired"


async def test_the_list_and_its_last_entry(
    browser: Browser, provider: IdentityProvider, gateway: Gateway, db: Database
) -> None:
    """The only way to sign in cannot be removed; with a password, all identities can. Both are recorded."""
    subject = await stranger(provider)
    await browser.goes(subject)
    person = await browser.person()
    (item,) = (await gateway.call(person, "GET", IDENTITIES)).json()["items"]
    assert (item["provider"], item["issuer"], item["subject"]) == (NAME, provider.issuer, subject)
    assert item["email"] == f"{subject}@example.com"
    path = f"{IDENTITIES}/{item['id']}"
    kept = await gateway.call(person, "DELETE", path)
    assert (kept.status_code, kept.json()["code"]) == (409, "last_sign_in_method")
    first = await gateway.call(person, "PATCH", "/v1/me", json={"password": PASSWORD})
    assert (first.status_code, first.json()["has_password"]) == (200, True)
    stranger_to_it = await gateway.newcomer()
    assert (await gateway.call(stranger_to_it, "DELETE", path)).status_code == 404
    assert (await gateway.call(person, "DELETE", path)).status_code == 204
    assert (await gateway.call(person, "GET", IDENTITIES)).json()["items"] == []
    for action in ("oidc_sign_in", "identity_linked", "identity_unlinked"):
        async with db.connection() as connection:
            query = "SELECT count(*) FROM audit WHERE action = $1 AND actor_id = $2"
            assert await connection.fetchval(query, action, person.id) == 1, action
    assert (await browser.goes(subject)).startswith("/#/link?ticket=")


SENSITIVE: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", CONFIRM, {}),
    ("PATCH", "/v1/me", {"email": "new@example.com"}),
    ("PATCH", "/v1/me", {"password": PASSWORD}),
    ("POST", "/v1/me/api-keys", {"name": "script", "scopes": ["read"]}),
    ("DELETE", "/v1/me", {}),
]


async def test_an_account_without_a_password_confirms_by_a_sign_in(
    browser: Browser, provider: IdentityProvider, gateway: Gateway, db: Database
) -> None:
    """An old session may not take a sensitive step, whatever password it sends; after a new sign-in of the same person
    it may."""
    subject = await stranger(provider)
    await browser.goes(subject)
    person = await browser.person()
    async with db.connection() as connection:
        await connection.execute(
            "UPDATE sessions SET proved_at = now() - interval '6 minutes' WHERE user_id = $1", person.id
        )
    for method, path, body in SENSITIVE:
        for given in ({}, {"current_password": PASSWORD}):
            refused = await gateway.call(person, method, path, json=body | given)
            assert (refused.status_code, refused.json()["code"]) == (403, "recent_sign_in_required"), path
    assert (await browser.begins("link", person)).json()["code"] == "recent_sign_in_required"
    assert await browser.goes(await stranger(provider), "confirm", person) == "/#/account?error=other_person"
    assert (await gateway.call(person, "POST", CONFIRM)).status_code == 403
    assert await browser.goes(subject, "confirm", person) == "/#/account?done=confirmed"
    assert browser.refresh_token is None
    assert (await gateway.call(person, "POST", CONFIRM)).status_code == 204
    assert (await gateway.call(person, "DELETE", "/v1/me")).status_code == 204
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM identities WHERE user_id = $1", person.id) == 0


async def test_an_export_has_the_identities(browser: Browser, provider: IdentityProvider, gateway: Gateway) -> None:
    subject = await stranger(provider)
    await browser.goes(subject)
    exported = (await gateway.call(await browser.person(), "GET", PERSONAL_DATA_PATH)).json()
    assert [each["subject"] for each in exported["identities"]] == [subject]


async def test_two_browsers_of_one_stranger(browser: Browser, provider: IdentityProvider, gateway: Gateway) -> None:
    """Both are signed in, to one account."""
    subject = await stranger(provider)
    both = [browser, Browser(gateway, provider)]
    told = [await provider.returns((await each.begins()).json()["url"], subject) for each in both]
    pages = await asyncio.gather(*(each.comes_back(said) for each, said in zip(both, told, strict=True)))
    assert pages == ["/", "/"]
    assert len({(await each.person()).id for each in both}) == 1
