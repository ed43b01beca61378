"""The API reference at `/docs`: Swagger UI with a console, from this gateway alone.

Its files are apart from the page's: they are read at the first request for it, and the page is no larger for them.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from functools import cache

from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from services.gateway.api.page import FOLDER, FOR_GOOD, REVALIDATE, VERSION_MARK, File, file_of, send_file
from shared.http.application import AsgiRoute

PATH = "/docs"
OWN, SWAGGER = FOLDER / "docs", FOLDER / "vendor/swagger-ui-5.35.0"
PAGE = "index.html"
SERVED = (
    OWN / "theme.js",
    OWN / "docs.js",
    OWN / "docs.css",
    SWAGGER / "swagger-ui-bundle.js",
    SWAGGER / "swagger-ui.css",
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Swagger UI draws its icons from `data:` URLs."""


@dataclass(frozen=True)
class Reference:
    version: str
    page: File
    assets: dict[str, File]


@cache
def reference() -> Reference:
    """Return the page and its assets, read and compressed once, which takes a tenth of a second."""
    bodies = {path.name: path.read_bytes() for path in SERVED}
    version = hashlib.sha256(b"".join(bodies.values())).hexdigest()[:12]
    page = (OWN / PAGE).read_bytes().replace(VERSION_MARK, version.encode())
    return Reference(version, file_of(PAGE, page), {name: file_of(name, body) for name, body in bodies.items()})


async def _read() -> Reference:
    return await asyncio.to_thread(reference)


class ReferenceEndpoint:
    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        await send_file(scope, send, (await _read()).page, REVALIDATE, policy=POLICY)


class AssetEndpoint:
    """Serve the current assets also under another version's URL, as the page does."""

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        asked, current = scope["path_params"], await _read()
        file = current.assets.get(asked["name"])
        if file is None:
            raise HTTPException(404)
        caching = FOR_GOOD if asked["version"] == current.version else REVALIDATE
        await send_file(scope, send, file, caching, policy=POLICY)


def routes() -> list[AsgiRoute]:
    return [
        AsgiRoute(PATH, ReferenceEndpoint(), methods=["GET"]),
        AsgiRoute(f"{PATH}/{{version}}/{{name}}", AssetEndpoint(), methods=["GET"]),
    ]
