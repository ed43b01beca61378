"""The public keys of another issuer: its JWKS (RFC 7517), at a configured or a discovered URL."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pyqwest import Transport

from services.gateway.auth.jwks import MAX_JWKS_BYTES, KeySet, UnusableKeySet
from services.gateway.settings import Tuning
from services.gateway.trusted_issuers import TrustedIssuer
from services.gateway.upstream.responses import fetch
from shared.config.json_list import is_as_safe
from shared.observability.logs import get_logger

log = get_logger(__name__)

MAX_METADATA_BYTES = 64 * 1024
MIN_RSA_BITS = 2048
"""RFC 7518, section 3.3."""
KINDS: dict[tuple[str, str | None], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
"""The algorithms of each kind of key, by `kty` and `crv`. Only asymmetric ones: a key set is public."""
ALGORITHMS = frozenset(algorithm for algorithms in KINDS.values() for algorithm in algorithms)

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey


class _Jwk(msgspec.Struct):
    """The members of a JWK that matter for verifying. Others are ignored, among them those of private keys."""

    kty: str
    kid: str | None = None
    alg: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    crv: str | None = None
    n: str | None = None
    e: str | None = None
    x: str | None = None
    y: str | None = None


class _Jwks(msgspec.Struct):
    keys: list[msgspec.Raw]


class _Metadata(msgspec.Struct):
    issuer: str
    jwks_uri: str


class IssuerKey(msgspec.Struct, frozen=True):
    """A public key, and the algorithms that may be used with it."""

    public: PublicKey
    algorithms: tuple[str, ...]


def parse_issuer_keys(body: bytes) -> dict[str, IssuerKey]:
    """Return the keys of a JWKS that can verify tokens, by id; a key without an id has an empty one. Keys for other
    purposes are skipped, and so are keys with the same id, because it is unclear which one a token names. Raises
    `UnusableKeySet`."""
    try:
        entries = msgspec.json.decode(body, type=_Jwks).keys
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as broken:
        raise UnusableKeySet(f"not a key set: {broken}") from broken
    usable = list(_usable(entries))
    ids = Counter(kid for kid, _ in usable)
    if ambiguous := sorted(kid for kid, count in ids.items() if count > 1):
        log.warning("several keys of a key set have the same id; none of them is used", kids=ambiguous)
    keys = {kid: key for kid, key in usable if ids[kid] == 1}
    if not keys:
        raise UnusableKeySet("no usable key: neither RSA, EC nor EdDSA for signatures, or ids that are not unique")
    return keys


def _usable(entries: list[msgspec.Raw]) -> Iterator[tuple[str, IssuerKey]]:
    for entry in entries:
        try:
            jwk = msgspec.json.decode(entry, type=_Jwk)
            algorithms = _algorithms(jwk)
            if algorithms:
                yield jwk.kid or "", IssuerKey(_public(jwk, algorithms[0]), algorithms)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, jwt.PyJWTError, ValueError) as broken:
            log.warning("a key of a key set cannot be used", reason=repr(broken))


def _algorithms(jwk: _Jwk) -> tuple[str, ...]:
    if jwk.use not in (None, "sig") or (jwk.key_ops is not None and "verify" not in jwk.key_ops):
        return ()
    fitting = KINDS.get((jwk.kty, jwk.crv), ())
    return tuple(algorithm for algorithm in fitting if jwk.alg in (None, algorithm))


def _public(jwk: _Jwk, algorithm: str) -> PublicKey:
    """Raises `PyJWTError` or `ValueError`."""
    members = {name: getattr(jwk, name) for name in ("kty", "crv", "n", "e", "x", "y")}
    key = jwt.PyJWK({name: value for name, value in members.items() if value is not None}, algorithm).key
    if not isinstance(key, PublicKey):
        raise ValueError("not a public key")  # noqa: TRY004  the type of the JSON is right
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise ValueError(f"an RSA key of {key.key_size} bits; at least {MIN_RSA_BITS} are required")
    return key


class IssuerKeys(KeySet[IssuerKey]):
    """The keys of one trusted issuer. Their URL is discovered with each fetch, unless it is configured."""

    def __init__(self, trusted: TrustedIssuer, transport: Transport, tuning: Tuning) -> None:
        super().__init__(trusted.issuer, trusted.jwks or trusted.discovery, tuning, tuning.issuer_retry_max_s)
        self._trusted = trusted
        self._transport = transport

    async def _read(self) -> dict[str, IssuerKey]:
        async with asyncio.timeout(self._tuning.issuer_timeout_s):
            self._url = self._trusted.jwks or await self._discovered()
            return parse_issuer_keys(await fetch(self._transport, self._url, MAX_JWKS_BYTES))

    async def _discovered(self) -> str:
        """Return `jwks_uri` of the issuer's metadata. Raises `UpstreamFailed` or `UnusableKeySet`."""
        self._url = self._trusted.discovery
        body = await fetch(self._transport, self._url, MAX_METADATA_BYTES)
        try:
            metadata = msgspec.json.decode(body, type=_Metadata)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as broken:
            raise UnusableKeySet(f"not the metadata of an issuer: {broken}") from broken
        if metadata.issuer != self._trusted.issuer:
            raise UnusableKeySet(f"the metadata is of another issuer, {metadata.issuer[:200]!r}")
        if not is_as_safe(metadata.jwks_uri, self._trusted.issuer):
            raise UnusableKeySet(f"the metadata has an unsuitable jwks_uri, {metadata.jwks_uri[:200]!r}")
        return metadata.jwks_uri
