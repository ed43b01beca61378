"""The API reference at `/docs`: what a browser is told of it, and what its files are."""

import hashlib
import re

import httpx

from services.gateway.api.page import site
from services.gateway.api.reference import OWN, SWAGGER, reference
from services.gateway.catalog.catalog import packaged
from tests.support.gateway.world import World


async def _page(world: World) -> httpx.Response:
    return await world.client.get("/docs")


async def test_the_reference_and_what_it_needs_are_there(world: World) -> None:
    """Its assets are kept for good, and are compressed."""
    page = await _page(world)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Cache-Control"] == "no-cache"
    addresses = re.findall(r'(?:href|src)="(/docs/[^"]+)"', page.text)
    assert {address.rpartition("/")[2] for address in addresses} == reference().assets.keys()
    for address in addresses:
        asset = await world.client.get(address, headers={"Accept-Encoding": "gzip"})
        assert (asset.status_code, "immutable" in asset.headers["Cache-Control"]) == (200, True)
        assert asset.headers["ETag"]
    assert (await world.client.get("/favicon.ico")).status_code == 200


async def test_an_asset_of_another_version_is_the_current_one(world: World) -> None:
    """While gateways are being replaced; there is nothing else below this path."""
    old = await world.client.get("/docs/000000000000/docs.js")
    assert (old.status_code, old.headers["Cache-Control"]) == (200, "no-cache")
    for path in ("/docs/x/index.html", "/docs/x/LICENSE", "/docs/x/..%2fmain.py", "/docs/"):
        assert (await world.client.get(path)).status_code == 404


async def test_nothing_foreign_runs_on_the_reference(world: World) -> None:
    """The policy allows no inline script or style, no eval and no other site; no file names one to load from."""
    page = await _page(world)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", page.text)
    for path in OWN.iterdir():
        assert "http" not in path.read_text()


async def test_the_page_is_no_larger_for_it(world: World) -> None:
    """Its files are not among the page's assets."""
    page = site(packaged())
    assert not [name for name in page.assets if "swagger" in name or name.startswith("docs")]
    assert (await world.client.get(f"/assets/{page.version}/{SWAGGER.name}/swagger-ui.css")).status_code == 404


def test_swagger_ui_is_the_published_one() -> None:
    """Its files have the checksums of the package on npm, and its licence is with them."""
    lines = (SWAGGER / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in map(str.split, lines)}
    assert sums.keys() == {path.name for path in SWAGGER.iterdir()} - {"SHA256SUMS"}
    assert {"LICENSE", "NOTICE"} < sums.keys()
    for name, digest in sums.items():
        assert hashlib.sha256((SWAGGER / name).read_bytes()).hexdigest() == digest, name
