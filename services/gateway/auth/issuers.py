"""The issuers whose tokens the gateway accepts: this system's own, and those of `GATEWAY_ISSUERS`."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import jwt
from pyqwest import HTTPTransport, Transport

from services.gateway.auth.claims import ForeignClaims, read_claims
from services.gateway.auth.issuer_keys import ALGORITHMS, IssuerKey, IssuerKeys
from services.gateway.auth.jwks import KeySet, OwnKeys
from services.gateway.errors import KeysUnavailable
from services.gateway.settings import Settings, Tuning
from services.gateway.trusted_issuers import TrustedIssuer
from shared.http.tokens import InvalidToken

TYPES = ("jwt", "at+jwt")
"""The accepted `typ` of a header (RFC 9068). A header without one is accepted, too; a logout token has another."""


class WrongKey(InvalidToken):
    """The key that the token names did not sign it."""


class ForeignIssuer:
    """Verifies the tokens of one trusted issuer."""

    def __init__(self, trusted: TrustedIssuer, transport: Transport, tuning: Tuning) -> None:
        self.name = trusted.issuer
        self.keys = IssuerKeys(trusted, transport, tuning)
        self._trusted = trusted

    async def verify(self, token: str, leeway_s: float) -> ForeignClaims:
        """Return the claims of a token of this issuer that is valid now. Raises `InvalidToken`, or `KeysUnavailable`
        while no key is known."""
        kid = _key_id(token)
        try:
            claims = self._decode(token, await self.keys.key(kid), leeway_s)
        except WrongKey:  # the issuer may have a new key with the same id, or without one
            if not await self.keys.look_again():
                raise
            claims = self._decode(token, await self.keys.key(kid), leeway_s)
        return read_claims(claims, int(claims["exp"]), self._trusted)

    def _decode(self, token: str, key: IssuerKey, leeway_s: float) -> dict[str, Any]:
        """Raises `InvalidToken`: `WrongKey` if the signature is not of this key, or of another algorithm."""
        try:
            claims = jwt.decode(
                token,
                key.public,
                algorithms=key.algorithms,
                audience=self._trusted.audience,
                issuer=self._trusted.issuer,
                leeway=leeway_s,
                options={"require": ["exp", "aud", "iss"], "verify_sub": False, "verify_jti": False},
            )
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as wrong:
            raise WrongKey(str(wrong)) from wrong
        except jwt.PyJWTError as broken:
            raise InvalidToken(str(broken)) from broken
        if "events" in claims:
            raise InvalidToken("an event of the issuer, such as a logout, and not a token of a caller (RFC 8417)")
        return claims


def _key_id(token: str) -> str | None:
    """Return the `kid` that a token claims, if any. Raises `InvalidToken`, also for an algorithm or a type that no
    issuer may use."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as broken:
        raise InvalidToken(f"header: {broken}") from broken
    if header.get("alg") not in ALGORITHMS:
        raise InvalidToken("header: the algorithm is not allowed")
    if str(header.get("typ", TYPES[0])).lower().removeprefix("application/") not in TYPES:
        raise InvalidToken("header: not the type of a token of a caller")
    kid: str | None = header.get("kid")
    return kid


def claimed_issuer(token: str) -> str | None:
    """Return the `iss` of a token without verifying it. Raises `InvalidToken`."""
    try:
        found = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except jwt.PyJWTError as broken:
        raise InvalidToken(str(broken)) from broken
    return found if isinstance(found, str) else None


class Issuers:
    """Every issuer whose tokens are accepted. `own` is None if this system has no accounts."""

    def __init__(self, own: OwnKeys | None, foreign: Sequence[ForeignIssuer]) -> None:
        self.own = own
        self._foreign = {issuer.name: issuer for issuer in foreign}

    def foreign(self, token: str) -> ForeignIssuer | None:
        """Return the other issuer that a token claims to be from; None for all other tokens. Raises `InvalidToken`."""
        return self._foreign.get(claimed_issuer(token) or "") if self._foreign else None

    def key_sets(self) -> Iterator[KeySet[Any]]:
        if self.own:
            yield self.own
        for issuer in self._foreign.values():
            yield issuer.keys

    async def check(self) -> None:
        """For readiness: the own keys, or if there are none, those of any issuer. Raises `KeysUnavailable`."""
        if self.own:
            await self.own.check()
        elif not any(keys.keys for keys in self.key_sets()):
            raise KeysUnavailable("the keys of no issuer are known")

    async def check_foreign(self) -> None:
        """For readiness. Raises `KeysUnavailable` that names the other issuers whose keys are not known."""
        missing = [issuer.keys for issuer in self._foreign.values() if not issuer.keys.keys]
        if missing:
            raise KeysUnavailable(
                "; ".join(f"no keys of {keys.issuer}: {keys.failure or 'not fetched yet'}" for keys in missing)
            )


@asynccontextmanager
async def foreign_issuers(settings: Settings, tuning: Tuning) -> AsyncIterator[list[ForeignIssuer]]:
    """Provide the issuers in the settings. Their certificates are checked against those that the system trusts."""
    trusted = settings.trusted_issuers
    if not trusted:
        yield []
        return
    transport = HTTPTransport(
        tls_include_system_certs=True,
        timeout=tuning.issuer_timeout_s,
        connect_timeout=tuning.issuer_timeout_s,
        follow_redirects=False,
        enable_gzip=False,
        enable_brotli=False,
        enable_zstd=False,
        enable_otel=False,
    )
    async with transport:
        yield [ForeignIssuer(each, transport, tuning) for each in trusted]
