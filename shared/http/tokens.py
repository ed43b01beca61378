"""Two kinds of tokens, both JWT (RFC 7519).

The users service signs user tokens with Ed25519; anyone with its JWKS (RFC 7517) can verify them. Service tokens are
signed with a secret that all services share, and name the calling service.
"""

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

USER_AUDIENCE = "dashboard"
USER_ISSUER = "dashboard-users"
SERVICE_AUDIENCE = "dashboard-internal"

CLOCK_SKEW_S = 30
"""How far the clocks of two hosts may differ."""

Role = Literal["user", "support", "admin"]


class InvalidToken(Exception):
    """The token is not ours, or no longer valid. The reason is for the log, not for the client."""


class UserClaims(msgspec.Struct, frozen=True):
    """The claims of an access token: `sub` is the user's id, `sid` their session, `exp` the expiry as Unix time."""

    sub: UUID
    sid: UUID
    role: Role
    exp: float


def b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def b64url_decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class SigningKey:
    """An Ed25519 key; `seed` is its 32 bytes as base64url. `kid` is its RFC 7638 thumbprint."""

    def __init__(self, seed: str) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(b64url_decode(seed))
        public = b64url(self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        required = {"crv": "Ed25519", "kty": "OKP", "x": public}
        canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
        self.kid = b64url(hashlib.sha256(canonical.encode()).digest())
        self.jwk = required | {"kid": self.kid, "alg": "EdDSA", "use": "sig"}


class UserTokens:
    """Issues access tokens with the first key; the JWKS contains all keys, so that they can be rotated."""

    def __init__(self, seeds: Sequence[str], ttl_s: int) -> None:
        self.ttl_s = ttl_s
        self.rotate(seeds)

    def rotate(self, seeds: Sequence[str]) -> None:
        """Use these keys from now on. Tokens of removed keys stay valid until verifiers fetch the JWKS again."""
        self._keys = [SigningKey(seed) for seed in seeds]
        self.jwks: dict[str, Any] = {"keys": [key.jwk for key in self._keys]}

    def issue(self, user_id: UUID, session_id: UUID, role: Role) -> str:
        """Issue a token for one session, valid from now for `ttl_s` seconds."""
        now = int(time.time())
        claims = {
            "iss": USER_ISSUER,
            "aud": USER_AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "role": role,
            "iat": now,
            "nbf": now,
            "exp": now + self.ttl_s,
        }
        key = self._keys[0]
        return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"kid": key.kid})


def public_keys(jwks: dict[str, Any]) -> dict[str, Ed25519PublicKey]:
    """Return the Ed25519 keys of a JWKS by `kid`, skipping other kinds of keys."""
    return {
        key["kid"]: Ed25519PublicKey.from_public_bytes(b64url_decode(key["x"]))
        for key in jwks.get("keys", [])
        if key.get("crv") == "Ed25519" and "kid" in key
    }


def key_id(token: str) -> str:
    """Return the `kid` that a token claims. Raises `InvalidToken`."""
    try:
        return str(jwt.get_unverified_header(token)["kid"])
    except (jwt.InvalidTokenError, KeyError) as broken:
        raise InvalidToken(f"header: {broken}") from broken


def verify_user_token(token: str, key: Ed25519PublicKey, leeway_s: float = 0) -> UserClaims:
    """Return the claims of a token that is signed by `key` for this system and valid now. Raises `InvalidToken`."""
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=["EdDSA"],
            audience=USER_AUDIENCE,
            issuer=USER_ISSUER,
            leeway=leeway_s,
            options={"require": ["exp", "nbf", "iat", "sub", "aud", "iss"]},
        )
        return msgspec.convert(claims, UserClaims)
    except (jwt.InvalidTokenError, msgspec.ValidationError) as broken:
        raise InvalidToken(str(broken)) from broken


class ServiceTokens:
    """Issues and verifies the short-lived tokens with which services authenticate to each other.

    `secrets` is a comma-separated list: the first signs, all verify.
    """

    TTL_S = 120
    """A token is sent with more than half of its lifetime left: a clock that is ahead by less does not expire it early.
    """
    MAX_REMEMBERED = 1024

    def __init__(self, secrets: str, service: str) -> None:
        self._service = service
        self.rotate(secrets)

    def rotate(self, secrets: str) -> None:
        """Use only these secrets from now on."""
        self._secrets = [secret.strip() for secret in secrets.split(",")]
        self._token = ""
        self._issued_at = self._renew_at = 0.0
        self._verified: dict[str, tuple[str, float]] = {}

    def token(self) -> str:
        """Return this service's own token; it is reused for half its life, or until the clock is set back."""
        now = time.time()
        if not self._issued_at <= now < self._renew_at:
            self._issued_at, self._renew_at = now, now + self.TTL_S / 2
            claims = {"iss": self._service, "aud": SERVICE_AUDIENCE, "iat": int(now), "exp": int(now) + self.TTL_S}
            self._token = jwt.encode(claims, self._secrets[0], algorithm="HS256")
        return self._token

    def verify(self, token: str) -> str:
        """Return the name of the calling service. Raises `InvalidToken`."""
        service, expires = self._verified.get(token, ("", 0.0))
        if expires <= time.time():
            service, expires = self._decode(token)
            if expires <= time.time():  # the leeway is for tokens of a clock that is ahead, not for old ones
                raise InvalidToken("expired")
            if len(self._verified) >= self.MAX_REMEMBERED:
                self._verified.clear()
            self._verified[token] = service, expires
        return service

    def _decode(self, token: str) -> tuple[str, float]:
        refused: jwt.InvalidTokenError | None = None
        for secret in self._secrets:
            try:
                claims = jwt.decode(
                    token,
                    secret,
                    algorithms=["HS256"],
                    audience=SERVICE_AUDIENCE,
                    leeway=CLOCK_SKEW_S,
                    options={"require": ["exp", "iss", "aud"]},
                )
            except jwt.InvalidTokenError as broken:
                refused = broken
            else:
                return str(claims["iss"]), float(claims["exp"])
        raise InvalidToken(str(refused)) from refused
