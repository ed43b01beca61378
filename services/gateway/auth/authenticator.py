"""Authentication of the caller by an access token or an API key, and authorisation by role and scope."""

import hashlib
import time
from typing import Literal

import msgspec
from starlette.types import Scope

from services.gateway.auth.api_keys import BEGINNING, ApiKeys, check_scope
from services.gateway.auth.jwks import KeySet
from services.gateway.auth.revocations import Revocations
from services.gateway.errors import InvalidAccessToken
from services.gateway.limits.limiter import Limiter
from shared.errors import Forbidden, Unauthenticated
from shared.http.api_keys import KeyScope
from shared.http.identity import Caller
from shared.http.tokens import CLOCK_SKEW_S, InvalidToken, key_id, verify_user_token
from shared.observability.logs import get_logger

log = get_logger(__name__)

REMEMBERED_TOKENS = 10_000
"""The number of verified tokens that are remembered."""

Access = Literal["anonymous", "user", "operator", "admin"]
"""Who may call a route; `operator` means administrators and support."""
OPERATORS: tuple[Access, ...] = ("operator", "admin")


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
    """The caller of a token or an API key."""

    caller: Caller
    expires: float
    """Until when this is remembered (Unix time)."""
    user_id: str
    """The caller's id, as text."""
    ends: float
    """Until when a live stream may stay open (Unix time): the expiry of a token."""
    scopes: frozenset[KeyScope] | None = None
    """Of an API key; None for a signed-in person."""


class Authenticator:
    """Verifies access tokens and API keys, and counts each request against its caller.

    A verified token is remembered by its hash until it expires or the keys change, and an API key for a minute.
    """

    def __init__(self, keys: KeySet, api_keys: ApiKeys, revocations: Revocations, limits: Limiter) -> None:
        self._keys = keys
        self._api_keys = api_keys
        self._revocations = revocations
        self._limits = limits
        self._leeway_s = CLOCK_SKEW_S
        self._verified: dict[bytes, Verified] = {}
        self._generation = 0

    async def caller(self, scope: Scope, access: Access = "user", *, session_only: bool = False) -> Caller:
        """Return the caller of a request. Raises like `admit`."""
        return (await self.admit(scope, access, session_only=session_only)).caller

    async def admit(self, scope: Scope, access: Access = "user", *, session_only: bool = False) -> Verified:
        """Verify the token or API key of a request, count the request against its caller, and check that they may call
        a route with this access. `session_only`: API keys may not.

        Raises `Unauthenticated`, `InvalidAccessToken`, `RateLimited`, `KeysUnavailable`, `Forbidden`,
        `InsufficientScope` or `SessionRequired`.
        """
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
        if verified.scopes is not None:
            of_operators = access in OPERATORS
            check_scope(verified.scopes, scope["method"], of_operators=of_operators, session_only=session_only)
        require(access, verified.caller)
        return verified

    def knows(self, scope: Scope) -> bool:
        """Return whether the request has a token, or a key, that has been verified before and has not expired."""
        token = _authorization(scope).partition(b" ")[2].strip()
        verified = self._verified.get(hashlib.sha256(token).digest())
        return verified is not None and self._generation == self._keys.generation and verified.ends > time.time()

    def known(self, authorization: bytes) -> Verified | None:
        """Return the bearer of a token that was verified before, is still valid, and is not revoked; or of an API key
        that may read."""
        if authorization[:7] != b"Bearer " or self._generation != self._keys.generation:
            return None
        verified = self._verified.get(hashlib.sha256(authorization[7:]).digest())
        if verified is None or verified.expires <= time.time() or self._revocations.knows(verified.caller):
            return None
        return verified if verified.scopes is None or "read" in verified.scopes else None

    def _remembered(self, token: bytes) -> Verified | None:
        if self._generation != self._keys.generation:
            self._verified.clear()
            self._generation = self._keys.generation
        verified = self._verified.get(hashlib.sha256(token).digest())
        return verified if verified is not None and verified.expires > time.time() else None

    async def _verify(self, token: bytes) -> Verified:
        if token.startswith(BEGINNING):
            grant = await self._api_keys.verify(token)
            verified = Verified(grant.caller, grant.expires, str(grant.caller.user_id), grant.ends, grant.scopes)
        else:
            text = token.decode("latin-1")
            claims = verify_user_token(text, await self._keys.key(key_id(text)), self._leeway_s)
            caller, expires = Caller(claims.sub, claims.role, claims.sid), claims.exp + self._leeway_s
            verified = Verified(caller, expires, str(caller.user_id), expires)
        digest = hashlib.sha256(token).digest()
        self._verified.pop(digest, None)  # the oldest are forgotten first
        self._verified[digest] = verified
        if len(self._verified) > REMEMBERED_TOKENS:
            del self._verified[next(iter(self._verified))]
        return verified


def _authorization(scope: Scope) -> bytes:
    value: bytes = dict(scope["headers"]).get(b"authorization", b"")
    return value
