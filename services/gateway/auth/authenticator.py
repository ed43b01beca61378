"""Authentication of the caller by the access token, and authorisation by role."""

import hashlib
import time
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from starlette.types import Scope

from services.gateway.auth.jwks import KeySet
from services.gateway.auth.revocations import Revocations
from services.gateway.errors import InvalidAccessToken
from services.gateway.limits.limiter import Limiter
from services.gateway.panels import Subject
from shared.errors import Forbidden, Unauthenticated
from shared.http.identity import Caller
from shared.http.tokens import CLOCK_SKEW_S, USER_ISSUER, InvalidToken, key_id, verify_user_token
from shared.observability.logs import get_logger

log = get_logger(__name__)

REMEMBERED_TOKENS = 10_000
"""The number of verified tokens that are remembered."""

Access = Literal["anonymous", "user", "operator", "admin"]
"""Who may call a route; `operator` means administrators and support."""


def bearer_token(authorization: bytes) -> bytes:
    """Return the token in that header. Raises `Unauthenticated`."""
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise Unauthenticated("a bearer token is required")
    return token.strip()


def require(access: Access, caller: Caller) -> None:
    """Raises `Forbidden` if the caller's role is not sufficient."""
    if (access == "admin" and not caller.is_admin) or (access == "operator" and not caller.is_operator):
        raise Forbidden


class Verified(msgspec.Struct, frozen=True, gc=False):
    """A token's caller, and its expiry (Unix time)."""

    caller: Caller
    expires: float
    user_id: str
    """The caller's id, as text."""
    subject: str
    """The caller's id in the token, which services know."""
    issuer: str | None = None
    """The issuer of the token; None if that is this system."""
    claims: Mapping[str, str] = {}

    @property
    def issued_by(self) -> str:
        """The issuer's name, also if that is this system."""
        return self.issuer or USER_ISSUER

    def as_subject(self, headers: Mapping[bytes, bytes], forwarded: Iterable[bytes]) -> Subject:
        """Return the caller as services know them, with those of the request's headers that are forwarded."""
        found = {name.decode(): headers[name].decode("latin-1") for name in forwarded if name in headers}
        return Subject(self.subject, self.claims, found)


class Authenticator:
    """Verifies access tokens, and counts each request against its caller. A verified token is remembered by its hash
    until it expires or the keys change."""

    def __init__(self, keys: KeySet, revocations: Revocations, limits: Limiter) -> None:
        self._keys = keys
        self._revocations = revocations
        self._limits = limits
        self._leeway_s = CLOCK_SKEW_S
        self._verified: dict[bytes, Verified] = {}
        self._generation = 0

    async def caller(self, scope: Scope) -> Caller:
        """Return the caller of a request. Raises like `admit`."""
        return (await self.admit(scope)).caller

    async def admit(self, scope: Scope) -> Verified:
        """Verify the token of a request, and count the request against its caller. Raises `Unauthenticated`,
        `InvalidAccessToken`, `RateLimited` or `KeysUnavailable`."""
        token = bearer_token(_authorization(scope))
        try:
            verified = self._remembered(token) or await self._verify(token)
        except InvalidToken as refused:
            log.info("token rejected", reason=str(refused))
            raise InvalidAccessToken from refused
        if self._revocations.knows(verified.caller):
            raise InvalidAccessToken
        if (counting := self._limits.count(scope, verified.caller)) is not None:
            await counting
        return verified

    def knows(self, scope: Scope) -> bool:
        """Return whether the request has a token that has been verified before."""
        return self._remembered(_authorization(scope).partition(b" ")[2].strip()) is not None

    def known(self, authorization: bytes) -> Verified | None:
        """Return the bearer of a token that was verified before, is still valid, and is not revoked."""
        if authorization[:7] != b"Bearer " or self._generation != self._keys.generation:
            return None
        verified = self._verified.get(hashlib.sha256(authorization[7:]).digest())
        if verified is None or verified.expires <= time.time() or self._revocations.knows(verified.caller):
            return None
        return verified

    def _remembered(self, token: bytes) -> Verified | None:
        if self._generation != self._keys.generation:
            self._verified.clear()
            self._generation = self._keys.generation
        verified = self._verified.get(hashlib.sha256(token).digest())
        return verified if verified is not None and verified.expires > time.time() else None

    async def _verify(self, token: bytes) -> Verified:
        text = token.decode("latin-1")
        claims = verify_user_token(text, await self._keys.key(key_id(text)), self._leeway_s)
        caller = Caller(claims.sub, claims.role, claims.sid)
        verified = Verified(caller, claims.exp + self._leeway_s, str(caller.user_id), str(caller.user_id))
        self._verified[hashlib.sha256(token).digest()] = verified
        if len(self._verified) > REMEMBERED_TOKENS:
            del self._verified[next(iter(self._verified))]
        return verified


def _authorization(scope: Scope) -> bytes:
    value: bytes = dict(scope["headers"]).get(b"authorization", b"")
    return value
