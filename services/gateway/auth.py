"""Who is calling, from the access token, and what they may do."""

import hashlib
import time
from typing import Literal

from starlette.datastructures import Headers

from services.gateway.errors import InvalidAccessToken
from services.gateway.keys import KeySet
from services.gateway.revocation import Revocations
from services.gateway.settings import Settings
from shared.errors import Forbidden, Unauthenticated
from shared.identity import Caller
from shared.logs import get_logger
from shared.tokens import InvalidToken, UserClaims, key_id, verify_user_token

log = get_logger(__name__)

Access = Literal["anonymous", "user", "operator", "admin"]
"""Who may call a route; `operator` is administrators and support."""


def bearer_token(headers: Headers) -> str:
    """The token that was sent. Raises `Unauthenticated`."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("a bearer token is needed")
    return token.strip()


def require(access: Access, caller: Caller) -> None:
    """Raises `Forbidden` when the caller's role is not enough."""
    if (access == "admin" and not caller.is_admin) or (access == "operator" and not caller.is_operator):
        raise Forbidden


class Authenticator:
    """Verifies access tokens. One that has been verified is known by its hash until it expires or the keys change."""

    def __init__(self, keys: KeySet, revocations: Revocations, settings: Settings) -> None:
        self._keys = keys
        self._revocations = revocations
        self._leeway_s = settings.token_leeway_s
        self._most = settings.remembered_tokens
        self._verified: dict[bytes, UserClaims] = {}
        self._generation = 0

    async def caller(self, headers: Headers) -> Caller:
        """Raises `Unauthenticated`, `InvalidAccessToken` or `KeysUnavailable`."""
        try:
            claims = await self._claims(bearer_token(headers))
        except InvalidToken as refused:
            log.info("token refused", reason=str(refused))
            raise InvalidAccessToken from refused
        caller = Caller(claims.sub, claims.role, claims.sid)
        if await self._revocations.is_revoked(caller):
            raise InvalidAccessToken
        return caller

    async def _claims(self, token: str) -> UserClaims:
        if self._generation != self._keys.generation:
            self._verified.clear()
            self._generation = self._keys.generation
        digest = hashlib.sha256(token.encode("latin-1")).digest()
        claims = self._verified.get(digest)
        if claims is not None and claims.exp + self._leeway_s > time.time():
            return claims
        claims = verify_user_token(token, await self._keys.key(key_id(token)), self._leeway_s)
        self._remember(digest, claims)
        return claims

    def _remember(self, digest: bytes, claims: UserClaims) -> None:
        self._verified[digest] = claims
        if len(self._verified) > self._most:
            del self._verified[next(iter(self._verified))]
