"""Who the caller of another issuer's token is, and what they may do."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.auth.claims import MAX_TEXT, claim_at, kept_claims, person_id, read_claims, role_of, subject_of
from services.gateway.trusted_issuers import TrustedIssuer
from shared.http.tokens import InvalidToken
from shared.ids import new_id

URL = "https://identity.example.com"
ROLES = {"ops": "support", "root": "admin", "everyone": "user"}


def trusted(**fields: Any) -> TrustedIssuer:
    return TrustedIssuer.model_validate({"issuer": URL, "audience": "shop", **fields})


@pytest.mark.parametrize(
    ("claim", "subject"),
    [
        ("auth0|123", "auth0|123"),
        ("a/b?c", "a/b?c"),
        ("019ac1d2-7a10-7c55-8a3e-5d1f0a6b2c94", "019ac1d2-7a10-7c55-8a3e-5d1f0a6b2c94"),
        (123, "123"),
        (0, "0"),
        (-5, "-5"),
        ("Zoë Ω 😀", "Zoë Ω 😀"),
        ("x" * MAX_TEXT, "x" * MAX_TEXT),
    ],
)
def test_a_subject_is_any_text_or_integer(claim: object, subject: str) -> None:
    """It is kept as the issuer wrote it; an integer becomes its text."""
    assert subject_of({"sub": claim}, "sub") == subject


@pytest.mark.parametrize(
    "claim",
    ["", " ", "x" * (MAX_TEXT + 1), "a\nb", "a\0", "\x7f", "\u2028", "\ud800", None, True, 1.0, ["ann"], {}, 10**300],
    ids=repr,
)
def test_what_identifies_nobody_is_refused(claim: object) -> None:
    """Empty, long or unreadable texts, and values that are neither a text nor an integer, make the token invalid."""
    with pytest.raises(InvalidToken):
        subject_of({"sub": claim}, "sub")


def test_a_claim_that_is_not_there_identifies_nobody() -> None:
    """This applies to a path as well."""
    for path in ("sub", "user.id", "user.id.more"):
        with pytest.raises(InvalidToken, match=path):
            subject_of({"user": {"id": None}}, path)


def test_a_claim_is_found_by_its_name_or_its_path() -> None:
    """A name may contain dots, as the names of Auth0 do; the whole name comes first."""
    claims = {"https://shop.example/roles": 1, "realm_access": {"roles": 2}, "a.b": 3, "a": {"b": 4}}
    assert [claim_at(claims, path) for path in ("https://shop.example/roles", "realm_access.roles", "a.b")] == [1, 2, 3]
    assert claim_at({"a": ["b"]}, "a.b") is None


@pytest.mark.parametrize(
    ("claim", "role"),
    [
        ("ops", "support"),
        ("root", "admin"),
        ("everyone", "user"),
        (["ops", "root", "everyone"], "admin"),
        (["everyone", "ops"], "support"),
        (["other", "ops", 5, None, ["root"], {"root": 1}], "support"),
        ("other", "user"),
        ("ROOT", "user"),
        ("root ", "user"),
        ([], "user"),
        ({"root": True}, "user"),
        (True, "user"),
        (None, "user"),
    ],
    ids=repr,
)
def test_the_highest_mapped_role_counts(claim: object, role: str) -> None:
    """A value that is not mapped, and anything that is not a text or a list of texts, grants nothing."""
    issuer = trusted(role="realm_access.roles", roles=ROLES)
    assert role_of({"realm_access": {"roles": claim}}, issuer) == role


@pytest.mark.parametrize("claims", [{"role": "admin"}, {"roles": ["admin"]}, {"groups": ["root"]}, {}])
def test_a_role_is_only_in_the_configured_claim(claims: dict[str, Any]) -> None:
    """A claim with the name of a role of this system grants nothing by itself."""
    assert role_of(claims, trusted()) == "user"
    assert role_of(claims, trusted(role="realm_access.roles", roles=ROLES)) == "user"


def test_only_short_plain_claims_are_kept() -> None:
    """They are remembered with the token, and may become a part of a URL."""
    kept = {"sub": "ann", "customer_no": 17, "active": True, "zero": 0}
    dropped = {"none": None, "float": 1.5, "list": ["a"], "object": {"a": 1}, "empty": "", "large": 2**60}
    dropped |= {"long": "x" * (MAX_TEXT + 1), "surrogate": "\ud800", "tab": "\t", "x" * (MAX_TEXT + 1): 1}
    assert kept_claims({**kept, **dropped}) == kept


def test_a_token_that_never_expires_still_has_a_time() -> None:
    """A time beyond all numbers of JavaScript is cut off."""
    assert read_claims({"sub": "ann"}, 10**400, trusted()).expires == 2**53


SUBJECTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20)
ISSUERS = st.sampled_from([URL, f"{URL}/", f"{URL}/two", "accounts"])


@given(st.tuples(ISSUERS, SUBJECTS), st.tuples(ISSUERS, SUBJECTS))
def test_two_people_never_have_the_same_id(one: tuple[str, str], other: tuple[str, str]) -> None:
    """A person is an issuer and a subject; the same pair always has the same id."""
    assert (person_id(*one) == person_id(*other)) == (one == other)


def test_a_subject_is_never_an_account_of_this_system() -> None:
    """Also if it is the text of an account's id: derived ids and ids of accounts are of different versions."""
    account = new_id()
    assert person_id(URL, str(account)) != account
    assert (person_id(URL, str(account)).version, account.version) == (5, 7)


def test_the_id_of_a_person_is_the_same_in_every_version() -> None:
    """Panels and limits are stored under it, by gateways of different versions at the same time."""
    assert person_id(URL, "ann") == UUID("83e1c025-32fe-5d89-976c-2490ac111f23")
