"""Another issuer of tokens: keys of every kind, the documents that it publishes, and the tokens that it signs."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from pyqwest import Request, Response

ISSUER = "https://identity.example.com"
AUDIENCE = "shop"
JWKS_URL = f"{ISSUER}/keys"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:  # noqa: ARG001  each number has its own key
    """Return a key that is generated once, because that takes long."""
    return rsa.generate_private_key(65537, bits)


def private_key(algorithm: str, number: int = 0) -> PrivateKey:
    """Return a key for that algorithm. RSA keys with the same number are the same."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm])
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else rsa_key(number)


@dataclass(frozen=True)
class IssuerSigner:
    """One key of the issuer, with its algorithm."""

    kid: str | None
    algorithm: str
    private: PrivateKey

    @classmethod
    def of(cls, algorithm: str = "ES256", kid: str | None = "first", number: int = 0) -> "IssuerSigner":
        return cls(kid, algorithm, private_key(algorithm, number))

    def named(self, kid: str | None) -> "IssuerSigner":
        return replace(self, kid=kid)

    def jwk(self, **members: Any) -> dict[str, Any]:
        """Return the public key; None removes a member."""
        public = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)
        told = {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig", **members}
        return {name: value for name, value in told.items() if value is not None}

    def sign(self, headers: Mapping[str, Any] | None = None, **changed: Any) -> str:
        """Return a token with the usual claims and these changes; None removes a claim."""
        told = {**({"kid": self.kid} if self.kid is not None else {}), **(headers or {})}
        return jwt.encode(claims(**changed), self.private, algorithm=self.algorithm, headers=told)


def now(seconds: int = 0) -> int:
    """Return the Unix time, or one that many seconds later."""
    return int(time.time()) + seconds


def claims(**changed: Any) -> dict[str, Any]:
    told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now(), "exp": now(300)} | changed
    return {name: value for name, value in told.items() if value is not None}


def jwks(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def metadata(issuer: str = ISSUER, jwks_uri: object = JWKS_URL) -> bytes:
    return json.dumps({"issuer": issuer, "jwks_uri": jwks_uri, "response_types_supported": ["code"]}).encode()


@dataclass
class PublishedDocuments:
    """The issuer as an HTTP transport: answers each URL with its document, or with an error."""

    documents: dict[str, bytes | Exception] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)

    async def execute(self, request: Request) -> Response:
        self.requested.append(request.url)
        document = self.documents.get(request.url)
        if isinstance(document, Exception):
            raise document
        return Response(status=404) if document is None else Response(status=200, content=document)
