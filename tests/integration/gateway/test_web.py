"""How the page is served: what a browser is told of it, and how much it weighs."""

import gzip
import re
from pathlib import Path

import httpx
import pytest

from services.gateway.api.page import site
from services.gateway.catalog.catalog import packaged
from tests.support.gateway.stub import Exchange, replies
from tests.support.gateway.world import Start, World

SITE = site(packaged())


async def test_the_page_and_what_it_needs_are_there(world: World) -> None:
    """Every address in the pages and modules leads somewhere, with its type, kept for good; the page itself is not."""
    for path in ("/", "/ops"):
        page = await world.client.get(path)
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.headers["Cache-Control"] == "no-cache"
        for address in re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.text):
            asset = await world.client.get(address)
            assert (asset.status_code, "immutable" in asset.headers["Cache-Control"]) == (200, True)
    for name in SITE.assets:
        assert (await world.client.get(f"/assets/{SITE.version}/{name}")).status_code == 200
    assert all(told in SITE.assets for told in _imported())


def _imported() -> set[str]:
    scripts = [file.body.decode() for name, file in SITE.assets.items() if name.startswith("js/")]
    return {f"js/{name}" for script in scripts for name in re.findall(r'from "\./([^"]+)"', script)}


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/orders", "/ops/x", "/v1/nonsense", "/favicon.ico", "/index.html"])
async def test_a_browser_gets_a_page_for_an_unknown_path(world: World, path: str) -> None:
    """It leads to the dashboard. A program gets a problem."""
    shown = await world.client.get(path, headers=BROWSER)
    assert (shown.status_code, shown.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert 'href="/"' in shown.text
    assert "Content-Security-Policy" in shown.headers
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5"):
        told = await world.client.get("/orders", headers={"Accept": accept})
        assert (told.status_code, told.json()["code"]) == (404, "not_found")


async def test_a_page_also_with_a_slash_and_an_icon_without_a_page(world: World) -> None:
    pages = [(await world.client.get(path, headers=BROWSER)).text for path in ("/ops", "/ops/")]
    assert pages[0] == pages[1]
    icon = await world.client.get("/favicon.ico", headers={"Accept": "image/avif,image/webp,*/*;q=0.8"})
    assert (icon.status_code, icon.headers["Content-Type"]) == (200, "image/svg+xml; charset=utf-8")


async def test_an_api_route_answers_browsers_as_everybody(world: World) -> None:
    assert (await world.client.get("/v1/dashboard", headers=BROWSER)).json()["code"] == "unauthenticated"


async def test_nothing_foreign_runs_on_it(world: World) -> None:
    """The policy allows no inline script or style, no eval and no other site."""
    policy = (await world.client.get("/")).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    for page in (*SITE.pages.values(), SITE.not_found):
        assert b"<style" not in page.body
        assert not re.search(rb"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", page.body)


async def test_it_is_sent_compressed(world: World) -> None:
    """Only to a client that accepts it. `tests/unit/gateway/api/test_modules.py` limits the size of all of it."""
    plain = await world.client.get("/", headers={"Accept-Encoding": "identity"})
    packed = await world.client.get("/", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == plain.content == gzip.decompress(SITE.pages["/"].packed)


async def test_what_a_browser_has_is_not_sent_again(world: World) -> None:
    """With the tag it got, 304; under an old version's address, what there is now, not to be kept for good."""
    tag = (await world.client.get("/")).headers["ETag"]
    again = await world.client.get("/", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    old = await world.client.get("/assets/000000000000/icon.svg")
    assert (old.status_code, old.headers["Cache-Control"]) == (200, "no-cache")


async def test_no_path_leads_out_of_the_folder(world: World) -> None:
    for path in ("/assets/x/../../main.py", "/assets/x/%2e%2e/%2e%2e/main.py", "/assets/x/index.html", "/assets/x/"):
        assert (await world.client.get(path)).status_code == 404
    assert (await world.client.post("/")).status_code == 405


ALONE = """[services.crm]
url = "http://127.0.0.1:9"
[panels.points]
service = "crm"
get = "/points/{user_id}"
kind = "object"
timeout_ms = 1000
"""


async def test_the_page_knows_the_panels_file(start: Start, tmp_path: Path) -> None:
    """The panels in their order and the routes; another file makes another version of the page."""
    path = tmp_path / "panels.toml"
    path.write_text(ALONE)
    async with start(panels_file=str(path)) as world:
        module = (await world.client.get("/assets/000000000000/js/catalog.js")).text
        assert module == (
            "export const OPERATIONS = new Set([]);\nexport const PANELS = "
            '[{"name": "points", "title": "Points", "kind": "object", "protocol": "rest"}];\n'
            "export const DEVELOPMENT = false;\n"
        )
        assert f"/assets/{SITE.version}/" not in (await world.client.get("/")).text


async def test_without_accounts_there_are_no_sessions(start: Start, tmp_path: Path) -> None:
    """Not even for a browser that still has a cookie."""
    path = tmp_path / "panels.toml"
    path.write_text(ALONE)
    async with start(panels_file=str(path)) as world:
        cookie = {"Cookie": "dashboard_session=secret"}
        for answer in (
            await world.client.post(SESSION, json=CREDENTIALS),
            await world.client.post(f"{SESSION}/refresh", json={}, headers=cookie),
            await world.client.delete(SESSION, headers=cookie),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


PAIR = b'{"access_token": "a", "token_type": "bearer", "expires_in": 900, "refresh_token": "secret-1"}'
SESSION = "/web/session"
CREDENTIALS = {"email": "ada@example.com", "password": "correct horse"}


async def test_the_refresh_token_stays_out_of_scripts_reach(world: World) -> None:
    """Signing in answers with the access token alone; the other is a cookie, which renewing replaces."""
    world.users.behaviours["/v1/tokens"] = replies(PAIR)
    signed_in = await world.client.post(SESSION, json=CREDENTIALS)
    assert signed_in.json() == {"access_token": "a", "token_type": "bearer", "expires_in": 900}
    cookie = signed_in.headers["Set-Cookie"]
    assert cookie.startswith("dashboard_session=secret-1;")
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/web/session", "Max-Age=2592000"):
        assert attribute in cookie
    asked = world.users.last("/v1/tokens")
    assert asked.body == b"grant_type=password&username=ada%40example.com&password=correct+horse"
    assert asked.values("X-Forwarded-For") == ["127.0.0.1"]

    world.users.behaviours["/v1/tokens/refresh"] = replies(PAIR.replace(b"secret-1", b"secret-2"))
    renewed = await world.client.post(f"{SESSION}/refresh", json={})
    assert b"refresh_token=secret-1" in world.users.last("/v1/tokens/refresh").body
    assert "secret-2" in renewed.headers["Set-Cookie"]
    assert "secret" not in renewed.text
    gone = await world.client.delete(SESSION)
    assert (gone.status_code, "Max-Age=0" in gone.headers["Set-Cookie"]) == (204, True)
    assert (await world.client.post(f"{SESSION}/refresh", json={})).status_code == 204


async def test_what_the_users_service_refuses_is_passed_on(world: World) -> None:
    """With its problem and without a cookie; when it is away, 503."""

    async def refuse(exchange: Exchange) -> None:
        headers = "Content-Type: application/problem+json\r\nRetry-After: 7\r\n"
        await exchange.reply(b'{"code": "too_many_logins"}', 429, headers)

    world.users.behaviours["/v1/tokens"] = refuse
    refused = await world.client.post(SESSION, json=CREDENTIALS)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_logins")
    assert refused.headers["Retry-After"] == "7"
    assert "Set-Cookie" not in refused.headers
    assert (await world.client.post(SESSION, json={"email": 7})).status_code == 422


async def test_no_other_site_may_use_the_cookie(world: World) -> None:
    """What a browser says comes from elsewhere is refused, and what a plain form could send."""
    foreign = {"Sec-Fetch-Site": "cross-site"}
    for answer in (
        await world.client.post(SESSION, json=CREDENTIALS, headers=foreign),
        await world.client.post(f"{SESSION}/refresh", json={}, headers=foreign),
        await world.client.delete(SESSION, headers={"Sec-Fetch-Site": "same-site"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_page")
    form = await world.client.post(SESSION, data={"email": "a"})
    assert form.status_code == 422
    assert not [request for request in world.users.asked if request.target.startswith("/v1/tokens")]


async def test_over_https_the_cookie_says_so(world: World) -> None:
    """Where the setting says that HTTPS is in front."""
    world.users.behaviours["/v1/tokens"] = replies(PAIR)
    world.gateway.settings.secure_cookies = True
    answer: httpx.Response = await world.client.post(SESSION, json=CREDENTIALS)
    assert "; Secure" in answer.headers["Set-Cookie"]
