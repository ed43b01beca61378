"""The page at `/`, and the operators' page at `/ops`: files of `services/gateway/web`, unchanged, and two modules that
are made here: the table of currencies that all services share, and the catalog's panels and passed-through operations,
so that the page offers only features that exist.

A browser that requests an unknown path gets an HTML page; other clients get a problem.

A page names all modules that its entry imports (`modulepreload`), so that a browser requests them at once.

The assets of a page are under `/assets/<version>/`, where the version is a digest of all of them: a browser caches them
permanently, and a new version has another URL.
"""

import gzip
import hashlib
import json
import mimetypes
from dataclasses import dataclass
from functools import cache, lru_cache
from http import HTTPStatus
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.api.modules import with_preloads
from services.gateway.catalog.catalog import Catalog
from services.gateway.container import gateway_of
from shared.http.application import AsgiRoute
from shared.http.negotiation import accepts_gzip, prefers_html
from shared.money import MINOR_DIGITS, OTHER_DIGITS

FOLDER = Path(__file__).parent.parent / "web"
VERSION_MARK = b"{{version}}"
PAGES = {"/": "index.html", "/ops": "ops.html", "/ops/": "ops.html"}
NOT_FOUND = "not-found.html"
OF_REFERENCE = ("docs/", "vendor/swagger-ui-")
"""The files of the API reference, which `api/reference.py` serves."""
ICON_PATH, ICON = "/favicon.ico", "icon.svg"
"""Browsers request this path if a page names no icon."""
CURRENCIES = f"export const MINOR_DIGITS = {json.dumps(MINOR_DIGITS)};\nexport const OTHER_DIGITS = {OTHER_DIGITS};\n"

REVALIDATE, FOR_GOOD, NEVER = b"no-cache", b"public, max-age=31536000, immutable", b"no-store"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
]


@dataclass(frozen=True)
class File:
    body: bytes
    packed: bytes
    etag: bytes
    kind: bytes


@dataclass(frozen=True)
class Site:
    version: str
    pages: dict[str, File]
    not_found: File
    assets: dict[str, File]


@cache
def _files() -> dict[str, bytes]:
    paths = {str(path.relative_to(FOLDER)): path for path in sorted(FOLDER.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if not name.startswith(OF_REFERENCE)}


def _offered(catalog: Catalog, *, development: bool) -> str:
    operations = [operation.signature for operation in catalog.operations]
    panels = [
        {"name": panel.name, "title": panel.title, "kind": panel.kind, "protocol": panel.protocol}
        for panel in catalog.panels
    ]
    return (
        f"export const OPERATIONS = new Set({json.dumps(operations)});\nexport const PANELS = {json.dumps(panels)};\n"
        f"export const DEVELOPMENT = {json.dumps(development)};\n"
    )


@lru_cache(maxsize=2)
def site(catalog: Catalog, *, development: bool = False) -> Site:
    """Return the pages and assets for that catalog, read once."""
    offered = _offered(catalog, development=development)
    bodies = _files() | {"js/currencies.js": CURRENCIES.encode(), "js/catalog.js": offered.encode()}
    everything = hashlib.sha256(b"".join(name.encode() + body for name, body in bodies.items()))
    version = everything.hexdigest()[:12]
    modules = {name.removeprefix("js/"): body for name, body in bodies.items() if name.startswith("js/")}
    bodies |= {name: with_preloads(bodies[name], modules) for name in PAGES.values()}
    html = {
        name: file_of(name, bodies.pop(name).replace(VERSION_MARK, version.encode()))
        for name in {*PAGES.values(), NOT_FOUND}
    }
    pages = {path: html[name] for path, name in PAGES.items()}
    return Site(version, pages, html[NOT_FOUND], {name: file_of(name, body) for name, body in bodies.items()})


@cache
def file_of(name: str, body: bytes) -> File:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    charset = "; charset=utf-8" if kind.startswith("text/") or kind == "image/svg+xml" else ""
    etag = b'"%b"' % hashlib.sha256(body).hexdigest()[:16].encode()
    return File(body, gzip.compress(body, 9, mtime=0), etag, (kind + charset).encode())


def _site(scope: Scope) -> Site:
    gateway = gateway_of(scope)
    return site(gateway.catalog, development=gateway.settings.environment == "development")


class PageEndpoint:
    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        await send_file(scope, send, _site(scope).pages[scope["path"]], REVALIDATE)


class AssetEndpoint:
    """Serve the current assets under another version's URL: while gateways are being replaced, a page of one may
    request assets from the other."""

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        asked = scope["path_params"]
        current = _site(scope)
        file = current.assets.get(asked["name"])
        if file is None:
            raise HTTPException(404)
        await send_file(scope, send, file, FOR_GOOD if asked["version"] == current.version else REVALIDATE)


class IconEndpoint:
    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        if prefers_html(scope["headers"]):
            await send_file(scope, send, _site(scope).not_found, NEVER, HTTPStatus.NOT_FOUND)
        else:
            await send_file(scope, send, _site(scope).assets[ICON], REVALIDATE)


def or_page(not_found: ASGIApp) -> ASGIApp:
    """Answers an unknown path: for a browser with a page, otherwise with `not_found`."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and prefers_html(scope["headers"]):
            await send_file(scope, send, _site(scope).not_found, NEVER, HTTPStatus.NOT_FOUND)
        else:
            await not_found(scope, receive, send)

    return answer


def routes() -> list[AsgiRoute]:
    assets = AsgiRoute("/assets/{version}/{name:path}", AssetEndpoint(), methods=["GET"])
    icon = AsgiRoute(ICON_PATH, IconEndpoint(), methods=["GET"])
    return [*(AsgiRoute(path, PageEndpoint(), methods=["GET"]) for path in PAGES), icon, assets]


async def send_file(
    scope: Scope, send: Send, file: File, caching: bytes, status: int = 200, *, policy: str = POLICY
) -> None:
    """Send a file, or 304 to a browser that has it. `policy` is its Content-Security-Policy."""
    request_headers = dict(scope["headers"])
    headers = [
        *_SECURITY,
        (b"content-security-policy", policy.encode()),
        (b"cache-control", caching),
        (b"etag", file.etag),
        (b"vary", b"accept, accept-encoding"),
    ]
    if status == HTTPStatus.OK and file.etag in request_headers.get(b"if-none-match", b""):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body"})
        return
    body = file.body
    if accepts_gzip(scope["headers"]) and len(file.packed) < len(body):
        body = file.packed
        headers.append((b"content-encoding", b"gzip"))
    headers += [(b"content-type", file.kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
