"""What browsers are told, and which sites' scripts may call the API."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.gateway.settings import Settings
from tests.support.gateway.stub import Exchange
from tests.support.gateway.world import Start, World

APP = "https://app.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
ALLOWED = "Access-Control-Allow-Origin"


@pytest.mark.parametrize("path", ["/v1/dashboard", "/v1/me", "/nowhere", "/openapi.json"])
async def test_every_answer_has_security_headers(world: World, path: str) -> None:
    """Whatever its status; HTTPS is not promised where it is not."""
    for headers in ({}, world.bearer()):
        answer = await world.client.get(path, headers=headers)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Strict-Transport-Security" not in answer.headers


async def test_https_is_promised_by_setting(start: Start) -> None:
    """For as long as the setting says."""
    async with start(hsts_max_age_s=60) as world:
        answer = await world.client.get("/livez")
        assert "Strict-Transport-Security" in answer.headers
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=60")


async def test_what_a_route_says_itself_stays(world: World) -> None:
    """A policy of its own is neither replaced nor doubled; the others are added."""

    async def strict(exchange: Exchange) -> None:
        await exchange.reply(b"{}", headers="Content-Security-Policy: sandbox\r\n")

    world.users.behaviours["/v1/me"] = strict
    answer = await world.client.get("/v1/me", headers=world.bearer())
    assert answer.headers.get_list("Content-Security-Policy") == ["sandbox"]
    assert answer.headers.get_list("Referrer-Policy") == ["no-referrer"]


async def test_by_default_no_other_site_is_let_in(world: World) -> None:
    """Neither by a preflight nor by an answer."""
    preflight = await world.client.options("/v1/orders", headers={"Origin": APP, **PREFLIGHT})
    assert preflight.status_code == 405
    answer = await world.client.get("/v1/me", headers={"Origin": APP, **world.bearer()})
    assert ALLOWED not in answer.headers


async def test_a_named_site_may_call(start: Start) -> None:
    """Its preflights are granted, its scripts may read answers, errors too, and the headers that matter."""
    async with start(cors_origins=f"{APP},https://other.example.com") as world:
        granted = await world.client.options("/v1/orders", headers={"Origin": APP, **PREFLIGHT})
        assert (granted.status_code, granted.headers[ALLOWED]) == (200, APP)
        for headers in ({}, world.bearer()):
            for path in ("/v1/dashboard", "/v1/me"):
                answer = await world.client.get(path, headers={"Origin": APP, **headers})
                assert answer.headers[ALLOWED] == APP
                assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
                assert "Origin" in answer.headers["Vary"]
                assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_another_site_may_not(start: Start) -> None:
    """It is told so as a problem, and gets no word that a browser would take for consent."""
    async with start(cors_origins=APP) as world:
        for origin in ("https://evil.example", "null", f"{APP}.evil.example"):
            preflight = await world.client.options("/v1/orders", headers={"Origin": origin, **PREFLIGHT})
            assert (preflight.status_code, preflight.headers["Content-Type"]) == (400, "application/problem+json")
            assert ALLOWED not in preflight.headers
            answer = await world.client.get("/v1/me", headers={"Origin": origin, **world.bearer()})
            assert ALLOWED not in answer.headers


@pytest.mark.parametrize(
    "told",
    [
        {"cors_origins": "*", "cors_credentials": True},
        {"cors_origins": "app.example.com"},
        {"cors_origins": f"{APP}/path"},
        {"limit_read": "many"},
        {"trusted_proxies": "10.0.0.0/99"},
    ],
)
def test_settings_that_cannot_be_meant(told: dict[str, Any]) -> None:
    """Are refused at the start: every site with cookies, what is no origin, no rate or no network."""
    with pytest.raises(ValidationError):
        Settings(environment="development", **told)
