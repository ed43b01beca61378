"""Signing in with a real OpenID provider, and linked identities."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from fastapi import FastAPI

from shared.contracts.internal_api import (
    IDENTITY_CALLBACKS,
    IDENTITY_FLOWS,
    IDENTITY_LINK_ACCOUNT,
    IDENTITY_LINKS,
)
from shared.db.engine import Database
from tests.support.backends.databases import NewDatabase
from tests.support.identity_provider import IdentityProvider, identity_provider
from tests.support.patience import patiently
from tests.support.users import PASSWORD, Gateway, Person, serving, settings_for

NAME = "example"


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
def gateway(service: tuple[FastAPI, Gateway]) -> Gateway:
    return service[1]


@pytest.fixture
def db(service: tuple[FastAPI, Gateway]) -> Database:
    database: Database = service[0].state.db
    return database


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
