"""Unsubscribing from a kind of mails without signing in (RFC 8058).

The key in the link names a user and a kind, and is signed, so that nothing is stored for it. It allows one thing: to
switch this kind of mails off for this user. A GET shows a page with a button and changes nothing, because programs that
check links open them, too.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import APIRouter, Depends, Form, Path, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from services.worker.email import notification_settings
from services.worker.email.kinds import KINDS, NAME, MailKind
from services.worker.email.layout import page_of
from shared.db.dependency import DatabaseDep
from shared.errors import NotFound
from shared.http.identity import GatewayOnly
from shared.http.negotiation import prefers_html
from shared.http.openapi import described
from shared.http.tokens import b64url, b64url_decode
from shared.observability.logs import get_logger

log = get_logger(__name__)

PURPOSE = b"dashboard unsubscribe 1"
"""Separates these keys from every other use of the secret from which they are derived."""
MAC_BYTES, USER_BYTES = 16, 16
PATH = "/v1/unsubscribe"
STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; background: light-dark(#f5f6f8, #0e1115); color: light-dark(#161a21, #e9ecf1);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
main { max-width: 480px; margin: 12vh auto 0; padding: 28px; background: light-dark(#fff, #161a20);
  border: 1px solid light-dark(#e2e5ea, #282e38); border-radius: 12px; }
h1 { margin: 0 0 12px; font-size: 22px; line-height: 1.25; }
p { margin: 0 0 16px; }
a { color: light-dark(#3454d1, #92a9ff); }
button { padding: 11px 20px; border: 0; border-radius: 8px; background: light-dark(#3454d1, #92a9ff);
  color: light-dark(#fff, #10131c); font: inherit;
  font-weight: 600; cursor: pointer; }
:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
@media (forced-colors: active) { button { border: 1px solid; } }
@media (max-width: 520px) { main { margin-inline: 12px; padding: 20px; } }
"""
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}


class UnknownKey(NotFound):
    code, title = "unsubscribe_key_unknown", "This unsubscribe link is not valid"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a key names: mails of one kind to one user."""

    user_id: UUID
    kind: str

    @property
    def phrase(self) -> str:
        """Return the kind within a sentence. It may be one that this worker does not know."""
        return KINDS[self.kind].phrase if self.kind in KINDS else self.kind


class UnsubscribeLinks:
    """`public_url` is empty if the address of the page is not known. `secrets` is a comma-separated list: a key derived
    from the first signs, all verify."""

    def __init__(self, public_url: str, secrets: str) -> None:
        self.public_url = public_url
        self.rotate(secrets)

    def rotate(self, secrets: str) -> None:
        """Use only these secrets from now on: links that others have signed become invalid."""
        self._keys = [_derived(secret.strip()) for secret in secrets.split(",")]

    def url(self, user_id: UUID, kind: MailKind) -> str:
        """Return the link that switches off this kind for this user."""
        named = user_id.bytes + kind.name.encode()
        return f"{self.public_url}{PATH}/{b64url(_mac(self._keys[0], named) + named)}"

    def read(self, key: str) -> Subscription:
        """Return what a key names. Raises `UnknownKey` unless it is one that `url` has made."""
        try:
            decoded = b64url_decode(key)
        except ValueError:
            raise UnknownKey from None
        mac, named = decoded[:MAC_BYTES], decoded[MAC_BYTES:]
        is_signed = [hmac.compare_digest(_mac(each, named), mac) for each in self._keys]
        kind = named[USER_BYTES:].decode("ascii", "replace")
        if not any(is_signed) or b64url(decoded) != key or not re.fullmatch(NAME, kind):
            raise UnknownKey
        return Subscription(UUID(bytes=named[:USER_BYTES]), kind)


def _derived(secret: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(secret.encode())


def _mac(key: bytes, named: bytes) -> bytes:
    return hmac.digest(key, named, hashlib.sha256)[:MAC_BYTES]


class OneClick(BaseModel):
    """The form of RFC 8058; an empty body means the same."""

    model_config = ConfigDict(extra="forbid")

    one_click: Literal["One-Click"] | None = Field(None, alias="List-Unsubscribe")


async def _links(request: Request) -> UnsubscribeLinks:
    links: UnsubscribeLinks = request.app.state.unsubscribe_links
    return links


Key = Annotated[
    str,
    Path(
        max_length=200,
        description="the last part of a mail's unsubscribe link",
        examples=["AZNdLn9qfCudUT8KS2yOEAFkaWdlc3Q"],
    ),
]
LinksDep = Annotated[UnsubscribeLinks, Depends(_links)]
router = APIRouter(prefix=PATH, tags=["notifications"], dependencies=[GatewayOnly])
PAGE: dict[int, dict[str, Any]] = {
    200: {"description": "A page for browsers", "content": {"text/html": {"schema": {"type": "string"}}}}
}


@router.get(
    "/{key}",
    response_class=Response,
    **described("confirm_unsubscribe", "Show the page for unsubscribing", UnknownKey, responses=PAGE),
)
async def confirm_unsubscribe(key: Key, links: LinksDep, request: Request) -> HTMLResponse:
    """Show a page with a button that switches off a kind of mails. Changes nothing."""
    try:
        return _page("ask", links.read(key).phrase)
    except UnknownKey:
        if not prefers_html(request.scope["headers"]):
            raise
        return _page("unknown", "", UnknownKey.status)


@router.post(
    "/{key}",
    status_code=204,
    response_class=Response,
    openapi_extra={"requestBody": {"required": False}},
    **described("unsubscribe", "Unsubscribe from a kind of mails", UnknownKey, responses=PAGE),
)
async def unsubscribe(
    key: Key, links: LinksDep, db: DatabaseDep, request: Request, _form: Annotated[OneClick, Form()]
) -> Response:
    """Switch off a kind of mails, without signing in. Browsers get a page."""
    subscription = links.read(key)
    async with db.connection() as connection, connection.transaction():
        await notification_settings.store(connection, subscription.user_id, {subscription.kind: False})
    log.info("mails switched off by a link", kind=subscription.kind)
    if prefers_html(request.scope["headers"]):
        return _page("done", subscription.phrase)
    return Response(status_code=204)


def _page(state: str, kind: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(page_of("unsubscribe.html", {"state": state, "kind": kind, "style": STYLE}), status, HEADERS)
