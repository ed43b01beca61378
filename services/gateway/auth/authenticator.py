"""Authentication of the caller by an access token or an API key, and authorisation by role and scope."""

import hashlib
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import msgspec
from starlette.types import Scope

from services.gateway.auth.api_keys import BEGINNING, ApiKeys, check_scope
from services.gateway.auth.claims import person_id
from services.gateway.auth.issuers import ForeignIssuer, Issuers
from services.gateway.auth.revocations import Revocations
from services.gateway.errors import AccountRequired, InvalidAccessToken
from services.gateway.limits.limiter import Limiter
from services.gateway.panels import Subject
from shared.errors import Forbidden, Unauthenticated
from shared.http.api_keys import KeyScope
from shared.http.identity import Caller
from shared.http.tokens import (
    CLOCK_SKEW_S,
    USER_AUDIENCE,
    USER_ISSUER,
    InvalidToken,
    UserClaims,
    key_id,
    verify_user_token,
)
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


class Verified(msgspec.Struct, frozen=True, gc=False):
    """The caller of a token or an API key."""

    caller: Caller
    expires: float
    """Until when this is remembered (Unix time)."""
    user_id: str
    """The caller's id, as text."""
    subject: str
    """The user as the issuer identifies them; for an account of this system, the same as `user_id`."""
    issuer: str | None
    """None for an account of this system."""
    claims: Mapping[str, object]
    """The claims of the token that are short texts, integers or booleans."""
    ends: float
    """Until when a live stream may stay open (Unix time): the expiry of a token."""
    scopes: frozenset[KeyScope] | None = None
    """Of an API key; None for a signed-in person."""

    @property
    def issued_by(self) -> str:
        """The issuer's name, also if that is this system."""
        return self.issuer or USER_ISSUER

    def as_subject(self, headers: Mapping[bytes, bytes], forwarded: Iterable[bytes]) -> Subject:
        """Return the caller as services know them, with those of the request's headers that are forwarded. An API key
        is for this gateway alone."""
        names = [name for name in forwarded if name in headers and (name != b"authorization" or self.scopes is None)]
        found = {name.decode(): headers[name].decode("latin-1") for name in names}
        return Subject(self.subject, self.claims, found)


def accepts(issuers: Collection[str], verified: Verified) -> bool:
    """Return whether callers of that issuer are among `issuers`; if that is empty, all are. `dashboard-users` is this
    system."""
    return not issuers or (verified.issuer or USER_ISSUER) in issuers


def require(access: Access, verified: Verified, *, needs_account: bool = True, for_others: bool = False) -> None:
    """Raises `Forbidden` if the caller's role is not sufficient, and `AccountRequired` for a caller of another issuer.

    `needs_account`: what users do there belongs to their accounts of this system. `for_others`: operators may also do
    it for other users, and need no account for that.
    """
    caller = verified.caller
    if (access == "admin" and not caller.is_admin) or (access == "operator" and not caller.is_operator):
        raise Forbidden
    needs_account &= access == "user" and not (for_others and caller.is_operator)
    if needs_account and verified.issuer is not None:
        raise AccountRequired


class Authenticator:
    """Verifies access tokens and API keys, and counts each request against its caller.

    A verified token is remembered by its hash until it expires or the keys of an issuer change, and an API key for a
    minute.
    """

    def __init__(self, issuers: Issuers, api_keys: ApiKeys, revocations: Revocations, limits: Limiter) -> None:
        self._issuers = issuers
        self._api_keys = api_keys
        self._revocations = revocations
        self._limits = limits
        self._leeway_s = CLOCK_SKEW_S
        self._verified: dict[bytes, Verified] = {}
        for keys in issuers.key_sets():
            keys.on_change(self._verified.clear)

    async def caller(
        self, scope: Scope, access: Access = "user", *, session_only: bool = False, for_others: bool = False
    ) -> Caller:
        """Return the caller of a route that needs an account of this system. Raises like `admit`."""
        own = (USER_ISSUER,)
        admitted = await self.admit(scope, access, session_only=session_only, issuers=own, for_others=for_others)
        return admitted.caller

    async def admit(
        self,
        scope: Scope,
        access: Access = "user",
        *,
        session_only: bool = False,
        issuers: Collection[str] = (),
        for_others: bool = False,
    ) -> Verified:
        """Verify the token or API key of a request, count the request against its caller, and check that they may call
        a route with this access. `session_only`: API keys may not. `issuers`: whose callers it is for, by default all.
        `for_others`: operators may call it for other users.

        Raises `Unauthenticated`, `InvalidAccessToken`, `RateLimited`, `KeysUnavailable`, `Forbidden`,
        `AccountRequired`, `InsufficientScope` or `SessionRequired`.
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
        require(access, verified, needs_account=not accepts(issuers, verified), for_others=for_others)
        return verified

    def knows(self, scope: Scope) -> bool:
        """Return whether the request has a token, or a key, that has been verified before and has not expired."""
        token = _authorization(scope).partition(b" ")[2].strip()
        verified = self._verified.get(hashlib.sha256(token).digest())
        return verified is not None and verified.ends > time.time()

    def known(self, authorization: bytes) -> Verified | None:
        """Return the bearer of a token that was verified before, is still valid, and is not revoked; or of an API key
        that may read."""
        if authorization[:7] != b"Bearer ":
            return None
        verified = self._verified.get(hashlib.sha256(authorization[7:]).digest())
        if verified is None or verified.expires <= time.time() or self._revocations.knows(verified.caller):
            return None
        return verified if verified.scopes is None or "read" in verified.scopes else None

    def _remembered(self, token: bytes) -> Verified | None:
        verified = self._verified.get(hashlib.sha256(token).digest())
        return verified if verified is not None and verified.expires > time.time() else None

    async def _verify(self, token: bytes) -> Verified:
        verified = await self._verified_now(token)
        digest = hashlib.sha256(token).digest()
        self._verified.pop(digest, None)  # the oldest are forgotten first
        self._verified[digest] = verified
        if len(self._verified) > REMEMBERED_TOKENS:
            del self._verified[next(iter(self._verified))]
        return verified

    async def _verified_now(self, token: bytes) -> Verified:
        if token.startswith(BEGINNING):
            grant = await self._api_keys.verify(token)
            user_id = str(grant.caller.user_id)
            return Verified(grant.caller, grant.expires, user_id, user_id, None, {}, grant.ends, grant.scopes)
        text = token.decode("latin-1")
        foreign = self._issuers.foreign(text)
        return await (self._verify_own(text) if foreign is None else self._verify_foreign(foreign, text))

    async def _verify_own(self, text: str) -> Verified:
        if self._issuers.own is None:
            raise InvalidToken("the issuer is not one of GATEWAY_ISSUERS, and this system has no accounts")
        claims = verify_user_token(text, await self._issuers.own.key(key_id(text)), self._leeway_s)
        caller = Caller(claims.sub, claims.role, claims.sid)
        user_id, expires = str(caller.user_id), claims.exp + self._leeway_s
        return Verified(caller, expires, user_id, user_id, None, _texts(claims), expires)

    async def _verify_foreign(self, issuer: ForeignIssuer, text: str) -> Verified:
        claims = await issuer.verify(text, self._leeway_s)
        caller = Caller(person_id(issuer.name, claims.subject), claims.role)
        expires = claims.expires + self._leeway_s
        return Verified(caller, expires, str(caller.user_id), claims.subject, issuer.name, claims.kept, expires)


def _texts(claims: UserClaims) -> Mapping[str, object]:
    """Return the claims of an own token as those of another issuer are kept."""
    sub, sid = str(claims.sub), str(claims.sid)
    return {"iss": USER_ISSUER, "aud": USER_AUDIENCE, "sub": sub, "sid": sid, "role": claims.role}


def _authorization(scope: Scope) -> bytes:
    value: bytes = dict(scope["headers"]).get(b"authorization", b"")
    return value
