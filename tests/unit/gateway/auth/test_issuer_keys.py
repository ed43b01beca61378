"""Key sets of other issuers: which keys are used, and where they are found."""

import json
from typing import Any

import pytest

from services.gateway.auth.issuer_keys import KINDS, IssuerKey, IssuerKeys, parse_issuer_keys
from services.gateway.auth.jwks import UnusableKeySet
from services.gateway.errors import KeysUnavailable
from services.gateway.settings import Tuning
from services.gateway.trusted_issuers import DISCOVERY, TrustedIssuer
from shared.http.tokens import InvalidToken
from tests.support.gateway.issuers import (
    AUDIENCE,
    ISSUER,
    JWKS_URL,
    IssuerSigner,
    PublishedDocuments,
    jwks,
    metadata,
    rsa_key,
)

EC, RSA = IssuerSigner.of("ES256", "ec"), IssuerSigner.of("RS256", "rsa")


@pytest.mark.parametrize("algorithm", [algorithm for algorithms in KINDS.values() for algorithm in algorithms])
def test_a_key_is_for_the_algorithm_that_it_states(algorithm: str) -> None:
    """Each asymmetric algorithm of RFC 7518 and 8037 is supported."""
    key = parse_issuer_keys(jwks(IssuerSigner.of(algorithm).jwk()))["first"]
    assert key.algorithms == (algorithm,)


@pytest.mark.parametrize(
    ("algorithm", "algorithms"),
    [
        ("RS256", ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        ("ES256", ("ES256",)),
        ("ES384", ("ES384",)),
        ("ES512", ("ES512",)),
        ("EdDSA", ("EdDSA",)),
    ],
)
def test_a_key_without_an_algorithm_is_for_those_of_its_kind(algorithm: str, algorithms: tuple[str, ...]) -> None:
    """Never for a symmetric one: everyone knows the key."""
    key = parse_issuer_keys(jwks(IssuerSigner.of(algorithm).jwk(alg=None, use=None)))["first"]
    assert key.algorithms == algorithms


SKIPPED: dict[str, object] = {
    "symmetric": {"kty": "oct", "kid": "x", "k": "c2VjcmV0", "alg": "HS256"},
    "for encryption": RSA.jwk(kid="x", use="enc", alg="RSA-OAEP"),
    "for encryption, by its use alone": RSA.jwk(kid="x", use="enc", alg=None),
    "for signing only": EC.jwk(kid="x", key_ops=["sign"]),
    "algorithm of another kind": RSA.jwk(kid="x", alg="ES256"),
    "algorithm of another curve": EC.jwk(kid="x", alg="ES384"),
    "symmetric algorithm of an asymmetric key": RSA.jwk(kid="x", alg="HS256"),
    "no algorithm": RSA.jwk(kid="x", alg="none"),
    "unknown kind": {"kty": "AKP", "kid": "x", "pub": "AAAA"},
    "unknown curve": EC.jwk(kid="x", crv="secp256k1", alg=None),
    "a point that is not on the curve": EC.jwk(kid="x", x=EC.jwk()["y"]),
    "not base64": RSA.jwk(kid="x", n="!"),
    "no modulus": RSA.jwk(kid="x", n=None),
    "too short": IssuerSigner("x", "RS256", rsa_key(bits=1024)).jwk(),
    "no kind": {"kid": "x"},
    "a number as id": EC.jwk(kid=5),
    "not an object": "x",
    "null": None,
}


@pytest.mark.parametrize("skipped", SKIPPED.values(), ids=SKIPPED)
def test_a_key_that_cannot_verify_tokens_is_skipped(skipped: Any) -> None:
    """The others of its set are used; a set with no other is unusable."""
    assert parse_issuer_keys(jwks(skipped, EC.jwk())).keys() == {"ec"}
    with pytest.raises(UnusableKeySet):
        parse_issuer_keys(jwks(skipped))


def test_a_private_key_is_used_as_a_public_one() -> None:
    """An issuer that publishes its private key by mistake does not stop the gateway."""
    assert parse_issuer_keys(jwks(RSA.jwk(d="AQAB")))["rsa"] == parse_issuer_keys(jwks(RSA.jwk()))["rsa"]


def test_keys_with_the_same_id_are_not_used() -> None:
    """It would be unclear which of them a token names."""
    other = IssuerSigner.of("ES256", "ec")
    assert parse_issuer_keys(jwks(EC.jwk(), other.jwk(), RSA.jwk())).keys() == {"rsa"}
    with pytest.raises(UnusableKeySet, match="ids that are not unique"):
        parse_issuer_keys(jwks(EC.jwk(kid=None), other.jwk(kid=None)))
    encrypting = RSA.jwk(kid="ec", use="enc", alg="RSA-OAEP")
    assert parse_issuer_keys(jwks(EC.jwk(), encrypting)).keys() == {"ec"}


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"keys": {}}', b'{"keys": []}', b"\xff", b'{"keys":' * 9999, b"<html>"]
)
def test_anything_but_a_key_set_is_refused(body: bytes) -> None:
    """An empty set as well: the keys before it stay in use."""
    with pytest.raises(UnusableKeySet):
        parse_issuer_keys(body)


def keys_of(published: PublishedDocuments, tuning: Tuning | None = None, **fields: Any) -> IssuerKeys:
    trusted = TrustedIssuer.model_validate({"issuer": ISSUER, "audience": AUDIENCE, **fields})
    return IssuerKeys(trusted, published, tuning or Tuning(jwks_unknown_key_pause_s=0))


async def found(published: PublishedDocuments, **fields: Any) -> IssuerKey:
    return await keys_of(published, **fields).key("ec")


async def test_the_keys_are_discovered() -> None:
    """By the metadata of the issuer, unless their URL is configured."""
    published = PublishedDocuments({f"{ISSUER}{DISCOVERY}": metadata(), JWKS_URL: jwks(EC.jwk())})
    assert (await found(published)).algorithms == ("ES256",)
    assert published.requested == [f"{ISSUER}{DISCOVERY}", JWKS_URL]
    published.requested.clear()
    assert (await found(published, jwks=JWKS_URL)).algorithms == ("ES256",)
    assert published.requested == [JWKS_URL]


METADATA: dict[str, tuple[bytes, str]] = {
    "of another issuer": (metadata(f"{ISSUER}/"), "of another issuer"),
    "without an issuer": (json.dumps({"jwks_uri": JWKS_URL}).encode(), "not the metadata of an issuer"),
    "without keys": (json.dumps({"issuer": ISSUER}).encode(), "not the metadata of an issuer"),
    "keys over plain HTTP": (metadata(jwks_uri=JWKS_URL.replace("https", "http")), "unsuitable jwks_uri"),
    "keys in a file": (metadata(jwks_uri="file:///keys"), "unsuitable jwks_uri"),
    "keys at a broken host": (metadata(jwks_uri="https://[/"), "unsuitable jwks_uri"),
    "keys that are no text": (metadata(jwks_uri=5), "not the metadata of an issuer"),
    "a page": (b"<html>", "not the metadata of an issuer"),
    "deep": (b"[" * 9999, "not the metadata of an issuer"),
}


@pytest.mark.parametrize(("body", "reason"), METADATA.values(), ids=METADATA)
async def test_metadata_that_cannot_be_trusted_gives_no_keys(body: bytes, reason: str) -> None:
    """The reason is kept for readiness and logs."""
    published = PublishedDocuments({f"{ISSUER}{DISCOVERY}": body, JWKS_URL: jwks(EC.jwk())})
    keys = keys_of(published)
    with pytest.raises(KeysUnavailable):
        await keys.key("ec")
    assert reason in (keys.failure or "")
    assert JWKS_URL not in published.requested


async def test_a_failed_fetch_changes_nothing() -> None:
    """The keys before it stay, and the next successful fetch replaces them."""
    published = PublishedDocuments({JWKS_URL: jwks(EC.jwk())})
    keys = keys_of(published, jwks=JWKS_URL)
    before = await keys.key("ec")
    for broken in (b"{}", ConnectionError("refused"), TimeoutError(), ValueError("no URL")):
        published.documents[JWKS_URL] = broken
        assert not await keys.look_again()
        assert keys.failure
        assert await keys.key("ec") == before
    published.documents[JWKS_URL] = jwks(RSA.jwk())
    assert await keys.look_again()
    assert (keys.failure, list(keys.keys)) == (None, ["rsa"])


async def test_an_unknown_key_causes_few_fetches() -> None:
    """After the first fetch, unknown ids cause no other one within the pause."""
    published = PublishedDocuments({JWKS_URL: jwks(EC.jwk(), RSA.jwk())})
    keys = keys_of(published, Tuning(jwks_unknown_key_pause_s=300), jwks=JWKS_URL)
    for kid in ("one", "two", None, "three"):
        with pytest.raises(InvalidToken):
            await keys.key(kid)
    assert published.requested == [JWKS_URL]


async def test_a_key_is_named_unless_it_is_the_only_one() -> None:
    """A token without a key id is accepted if the set has one key."""
    published = PublishedDocuments({JWKS_URL: jwks(EC.jwk())})
    keys = keys_of(published, jwks=JWKS_URL)
    assert await keys.key(None) == await keys.key("ec")
    published.documents[JWKS_URL] = jwks(EC.jwk(), RSA.jwk())
    await keys.look_again()
    with pytest.raises(InvalidToken, match="several keys"):
        await keys.key(None)


async def test_a_change_is_announced_once() -> None:
    """Also if a key has been replaced under the same id; the same keys in another order are no change."""
    published = PublishedDocuments({JWKS_URL: jwks(EC.jwk(), RSA.jwk())})
    keys = keys_of(published, jwks=JWKS_URL)
    changes: list[int] = []
    keys.on_change(lambda: changes.append(len(keys.keys)))
    await keys.look_again()
    for body in (jwks(EC.jwk(), RSA.jwk()), jwks(RSA.jwk(x5t="x"), EC.jwk(extra=[1])), b"{}"):
        published.documents[JWKS_URL] = body
        assert not await keys.look_again()
    published.documents[JWKS_URL] = jwks(IssuerSigner.of("ES256", "ec").jwk())
    assert await keys.look_again()
    assert changes == [2, 1]
