"""Who is calling, from the access token, and what they may do."""

import hashlib
import time
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import Headers

from services.gateway.errors import InvalidAccessToken
from services.gateway.keys import KeySet
from services.gateway.revocation import Revocations
from services.gateway.settings import Settings
from shared.errors import Forbidden, Unauthenticated
from shared.identity import Caller
from shared.logs import get_logger
from shared.tokens import InvalidToken, key_id, verify_user_token

log = get_logger(__name__)

Access = Literal["anonymous", "user", "operator", "admin"]
"""Who may call a route; `operator` is administrators and support."""


def bearer_token(authorization: bytes) -> bytes:
    """The token in that header. Raises `Unauthenticated`."""
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise Unauthenticated("a bearer token is needed")
    return token.strip()


def require(access: Access, caller: Caller) -> None:
    """Raises `Forbidden` when the caller's role is not enough."""
    if (access == "admin" and not caller.is_admin) or (access == "operator" and not caller.is_operator):
        raise Forbidden


@dataclass(slots=True)
class Verified:
    """A token's caller, and until when that holds: `expires` in Unix time, `unrevoked_until` in monotonic seconds."""

    caller: Caller
    expires: float
    unrevoked_until: float = 0


class Authenticator:
    """Verifies access tokens. One that has been verified is known by its hash until it expires or the keys change,
    and as not revoked for a moment."""

    def __init__(self, keys: KeySet, revocations: Revocations, settings: Settings) -> None:
        self._keys = keys
        self._revocations = revocations
        self._leeway_s = settings.token_leeway_s
        self._verdict_s = settings.revocation_verdict_s
        self._most = settings.remembered_tokens
        self._verified: dict[bytes, Verified] = {}
        self._generation = 0

    async def caller(self, headers: Headers) -> Caller:
        """Raises `Unauthenticated`, `InvalidAccessToken` or `KeysUnavailable`."""
        return await self.bearer(headers.get("Authorization", "").encode("latin-1"))

    async def bearer(self, authorization: bytes) -> Caller:
        """The caller, from the value of the header alone. Raises as `caller` does."""
        return (await self.admit(authorization)).caller

    async def admit(self, authorization: bytes) -> Verified:
        """The caller, and until when that holds. Raises as `caller` does."""
        try:
            verified = await self._verify(bearer_token(authorization))
        except InvalidToken as refused:
            log.info("token refused", reason=str(refused))
            raise InvalidAccessToken from refused
        if await self._is_revoked(verified):
            raise InvalidAccessToken
        return verified

    async def _is_revoked(self, verified: Verified) -> bool:
        if self._revocations.knows(verified.caller):
            return True
        now = time.monotonic()
        if now < verified.unrevoked_until:
            return False
        if await self._revocations.is_revoked(verified.caller):
            return True
        verified.unrevoked_until = now + self._verdict_s
        return False

    async def _verify(self, token: bytes) -> Verified:
        if self._generation != self._keys.generation:
            self._verified.clear()
            self._generation = self._keys.generation
        digest = hashlib.sha256(token).digest()
        verified = self._verified.get(digest)
        if verified is not None and verified.expires > time.time():
            return verified
        text = token.decode("latin-1")
        claims = verify_user_token(text, await self._keys.key(key_id(text)), self._leeway_s)
        verified = Verified(Caller(claims.sub, claims.role, claims.sid), claims.exp + self._leeway_s)
        self._remember(digest, verified)
        return verified

    def _remember(self, digest: bytes, verified: Verified) -> None:
        self._verified[digest] = verified
        if len(self._verified) > self._most:
            del self._verified[next(iter(self._verified))]
