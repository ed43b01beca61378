"""Who is admitted after a sign-in with a provider, and how."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from services.users.identities.decisions import (
    Reason,
    SignInRefused,
    address_of,
    admission,
    is_fresh,
    name_of,
    proved_at,
)
from services.users.identities.provider import Person
from services.users.models import User
from shared.http.tokens import Role

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def person(**claims: Any) -> Person:
    return Person(**{"issuer": "https://identity.example.com", "subject": "ann", **claims})


def account(*, verified: bool = True, password: bool = True, suspended: bool = False, role: Role = "user") -> User:
    return User(
        email_verified=verified,
        password_hash="hash" if password else None,
        suspended_at=AT if suspended else None,
        role=role,
    )


def reason_of(found: Person | User) -> Reason:
    with pytest.raises(SignInRefused) as refused:
        address_of(found) if isinstance(found, Person) else admission(found)
    return refused.value.reason


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, "address_missing"),
        ({"email": "ann@example.com"}, "address_unverified"),
        ({"email": "ann@example.com", "email_verified": False}, "address_unverified"),
        ({"email": "not an address", "email_verified": True}, "address_missing"),
        ({"email": "=?x?=@example.com", "email_verified": True}, "address_missing"),
    ],
)
def test_an_address_that_makes_no_account(claims: dict[str, Any], reason: Reason) -> None:
    """Whether an account has it does not matter: nothing is looked up."""
    assert reason_of(person(**claims)) == reason


def test_a_verified_address_in_its_normal_form() -> None:
    assert address_of(person(email="ann@EXAMPLE.com", email_verified=True)) == "ann@example.com"


@pytest.mark.parametrize(
    ("name", "email", "expected"),
    [
        (" Grace Hopper ", "g@example.com", "Grace Hopper"),
        ("x" * 300, "g@example.com", "x" * 100),
        (None, "grace.h@example.com", "grace.h"),
        ("evil\u202ename", "grace@example.com", "grace"),
        ("\u200b", "grace@example.com", "grace"),
        ("line\nbreak", "grace@example.com", "grace"),
    ],
)
def test_the_name_of_a_new_account(name: str | None, email: str, expected: str) -> None:
    """The provider's if registration would accept it."""
    assert name_of(person(name=name), email) == expected


def test_how_an_unknown_identity_gets_in() -> None:
    """A free address makes an account; the owner of the address takes over an account that has not verified it; and an
    account that has asks for its password."""
    assert admission(None) == "create"
    assert admission(account(verified=False)) == "take_over"
    assert admission(account()) == "ask_password"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (account(suspended=True), "suspended"),
        (account(suspended=True, verified=False), "suspended"),
        (account(password=False), "address_taken"),
        (account(verified=False, role="admin"), "address_taken"),
    ],
)
def test_how_it_does_not(found: User, reason: Reason) -> None:
    """Not into a suspended account, nor an operator's that nobody has verified, nor without a password to ask for."""
    assert reason_of(found) == reason


@pytest.mark.parametrize(
    ("authenticated_at", "proved", "fresh"),
    [
        (None, AT, True),
        (AT - MINUTE, AT - MINUTE, True),
        (AT - 5 * MINUTE, AT - 5 * MINUTE, True),
        (AT - 6 * MINUTE, AT - 6 * MINUTE, False),
        (AT + MINUTE, AT, True),
    ],
)
def test_when_a_person_was_proved(authenticated_at: datetime | None, proved: datetime, fresh: bool) -> None:
    """When the provider says, but not in the future."""
    found = person(authenticated_at=authenticated_at)
    assert (proved_at(found, AT), is_fresh(found, AT, 5 * MINUTE)) == (proved, fresh)


def test_the_page_and_the_api_know_each_reason() -> None:
    """The page has words for each reason and for no other, and the page about the API describes each."""
    words = Path("services/gateway/web/js/messages.js").read_text().partition("BY_SIGN_IN = {")[2].partition("};")[0]
    assert set(re.findall(r"^  (\w+):", words, re.MULTILINE)) == set(get_args(Reason))
    described = Path("docs/api.md").read_text().partition("## Identity providers")[2].partition("\n## ")[0]
    assert {reason for reason in get_args(Reason) if f"`{reason}`" not in described} == set()
