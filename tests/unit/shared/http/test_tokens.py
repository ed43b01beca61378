"""User tokens and service tokens: which are accepted, and which are refused."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from shared.http.tokens import (
    InvalidToken,
    ServiceTokens,
    SigningKey,
    UserTokens,
    b64url,
    b64url_decode,
    key_id,
    public_keys,
    verify_user_token,
)
from tests.support.later import move_clock

SEED, OTHER_SEED = b64url(b"\1" * 32), b64url(b"\2" * 32)
KEY = SigningKey(SEED)
PUBLIC = KEY.private.public_key()
USER, SESSION = UUID(int=1), UUID(int=2)
SECRET = "a secret of at least thirty-two bytes"


def _claims(**changed: Any) -> dict[str, Any]:
    """Return valid claims with these changes; None removes a claim."""
    now = int(time.time())
    good = {
        "iss": "dashboard-users",
        "aud": "dashboard",
        "sub": str(USER),
        "sid": str(SESSION),
        "role": "user",
        "iat": now,
        "nbf": now,
        "exp": now + 60,
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


def _signed(**changed: Any) -> str:
    return jwt.encode(_claims(**changed), KEY.private, algorithm="EdDSA", headers={"kid": KEY.kid})


def test_an_issued_token_says_who_it_is_for() -> None:
    """The token is verified with the key of its `kid` in the JWKS."""
    tokens = UserTokens([SEED, OTHER_SEED], ttl_s=60)
    token = tokens.issue(USER, SESSION, "support")
    claims = verify_user_token(token, public_keys(tokens.jwks)[key_id(token)])
    assert (claims.sub, claims.sid, claims.role) == (USER, SESSION, "support")
    assert 0 < claims.exp - time.time() <= 60


def test_the_jwks_holds_every_public_key_and_no_private_one() -> None:
    """The keys are in the given order, with all fields of RFC 7517 and 8037."""
    first, second = UserTokens([SEED, OTHER_SEED], ttl_s=60).jwks["keys"]
    assert first == {"crv": "Ed25519", "kty": "OKP", "x": first["x"], "kid": KEY.kid, "alg": "EdDSA", "use": "sig"}
    assert b64url_decode(first["x"]) == PUBLIC.public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert second["kid"] != first["kid"]


def test_keys_of_other_kinds_are_passed_over() -> None:
    """A JWKS may contain keys that this system does not use."""
    rsa = {"kty": "RSA", "kid": "r", "n": "x", "e": "AQAB"}
    assert public_keys({"keys": [rsa, KEY.jwk]}).keys() == {KEY.kid}
    assert public_keys({}) == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": int(time.time()) - 1},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"aud": "dashboard-internal"},
        {"aud": ["another"]},
        {"iss": "somebody"},
        {"sub": "not a uuid"},
        {"sid": None},
        {"role": "root"},
        *({claim: None} for claim in ("exp", "nbf", "iat", "sub", "aud", "iss", "role")),
    ],
    ids=" ".join,
)
def test_claims_that_do_not_hold_are_refused(changed: dict[str, Any]) -> None:
    """Expired, not yet valid, for another audience, or incomplete tokens are refused, even if signed correctly."""
    with pytest.raises(InvalidToken):
        verify_user_token(_signed(**changed), PUBLIC)


def test_a_leeway_forgives_a_clock_that_is_slightly_off() -> None:
    """A token that has just expired is accepted with a leeway, and not without."""
    just_ended = _signed(exp=int(time.time()) - 2)
    assert verify_user_token(just_ended, PUBLIC, leeway_s=5).sub == USER
    with pytest.raises(InvalidToken):
        verify_user_token(just_ended, PUBLIC)


def _unsigned() -> str:
    return jwt.encode(_claims(), "", algorithm="none")


def _signed_with_the_public_key_as_secret() -> str:
    public = PUBLIC.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return jwt.encode(_claims(), public, algorithm="HS256", headers={"kid": KEY.kid})


def _signed_by_another_key() -> str:
    return jwt.encode(_claims(), SigningKey(OTHER_SEED).private, algorithm="EdDSA", headers={"kid": KEY.kid})


def _without_its_signature() -> str:
    return _signed().rpartition(".")[0] + "."


def _with_a_foreign_payload() -> str:
    header, _, signature = _signed().split(".")
    return f"{header}.{_signed(role='admin').split('.')[1]}.{signature}"


@pytest.mark.parametrize(
    "forge",
    [
        _unsigned,
        _signed_with_the_public_key_as_secret,
        _signed_by_another_key,
        _without_its_signature,
        _with_a_foreign_payload,
    ],
)
def test_a_forged_token_is_refused(forge: Callable[[], str]) -> None:
    """alg=none, HS/EdDSA confusion, a wrong key, no signature, a payload of another token."""
    with pytest.raises(InvalidToken):
        verify_user_token(forge(), PUBLIC)


@given(st.text(alphabet="abcXYZ019-_.=", max_size=80) | st.text(max_size=20))
def test_nothing_but_invalid_token_is_raised(text: str) -> None:
    """This applies to any text that a client sends as a token."""
    for refuse in (key_id, lambda token: verify_user_token(token, PUBLIC), ServiceTokens(SECRET, "gateway").verify):
        with pytest.raises(InvalidToken):
            refuse(text)


def test_a_token_without_a_key_id_is_refused() -> None:
    """An unsigned header is not trusted either."""
    with pytest.raises(InvalidToken):
        key_id(jwt.encode(_claims(), KEY.private, algorithm="EdDSA"))


def test_services_know_each_other() -> None:
    """The token names the caller; it is reused for a while, and verified again from memory."""
    gateway, users = ServiceTokens(SECRET, "gateway"), ServiceTokens(SECRET, "users")
    token = gateway.token()
    assert gateway.token() == token
    assert [users.verify(token) for _ in range(2)] == ["gateway", "gateway"]


def test_a_service_token_ends_also_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that has been verified before is refused once it has expired."""
    users = ServiceTokens(SECRET, "users")
    claims = {"iss": "gateway", "aud": "dashboard-internal", "exp": int(time.time()) + 60}
    token = jwt.encode(claims, SECRET, algorithm="HS256")
    assert users.verify(token) == "gateway"
    move_clock(monkeypatch, seconds=61)
    with pytest.raises(InvalidToken):
        users.verify(token)


@pytest.mark.parametrize("changed", [{"aud": "dashboard"}, {"exp": 1}, {"iss": None}, {"exp": None}], ids=str)
def test_a_service_token_must_be_complete(changed: dict[str, Any]) -> None:
    """Tokens with a wrong audience, expired, without a name or without an expiry are refused."""
    claims = _claims(**({"iss": "gateway", "aud": "dashboard-internal"} | changed))
    with pytest.raises(InvalidToken):
        ServiceTokens(SECRET, "users").verify(jwt.encode(claims, SECRET, algorithm="HS256"))


def test_a_user_token_is_no_service_token_nor_the_other_way_round() -> None:
    """Each kind is refused in place of the other, and a service token with another secret as well."""
    with pytest.raises(InvalidToken):
        ServiceTokens(SECRET, "users").verify(_signed())
    with pytest.raises(InvalidToken):
        verify_user_token(ServiceTokens(SECRET, "gateway").token(), PUBLIC)
    with pytest.raises(InvalidToken):
        ServiceTokens(SECRET[::-1], "users").verify(ServiceTokens(SECRET, "gateway").token())


@pytest.mark.parametrize("issued_ago_s", [0, 30, 59])
@pytest.mark.parametrize("ahead_s", [-30, -10, 0, 10, 30])
def test_clocks_may_differ(monkeypatch: pytest.MonkeyPatch, ahead_s: int, issued_ago_s: int) -> None:
    """Clocks may differ by 30 s in either direction, with a service token of any age."""
    gateway, users = ServiceTokens(SECRET, "gateway"), ServiceTokens(SECRET, "users")
    gateway.token()
    move_clock(monkeypatch, seconds=issued_ago_s)
    token = gateway.token()
    move_clock(monkeypatch, seconds=ahead_s)
    assert [users.verify(token) for _ in range(2)] == ["gateway", "gateway"]


@pytest.mark.parametrize("wrong", [{"iat": 90}, {"exp": -1}], ids=str)
def test_a_clock_that_is_far_off_is_not_tolerated(wrong: dict[str, int]) -> None:
    """An expired token is not accepted either."""
    claims = {"iss": "gateway", "aud": "dashboard-internal", "exp": 60} | wrong
    told = {name: int(time.time()) + value if isinstance(value, int) else value for name, value in claims.items()}
    with pytest.raises(InvalidToken):
        ServiceTokens(SECRET, "users").verify(jwt.encode(told, SECRET, algorithm="HS256"))


def test_a_clock_that_was_set_back_makes_a_new_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier token would not be valid for as long as the clock was ahead."""
    gateway = ServiceTokens(SECRET, "gateway")
    before = gateway.token()
    move_clock(monkeypatch, seconds=-600)
    assert gateway.token() != before
    assert ServiceTokens(SECRET, "users").verify(gateway.token()) == "gateway"
