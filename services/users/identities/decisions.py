"""Decisions about a person who has signed in at a provider."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from services.users.identities.provider import Person
from services.users.models import User
from services.users.schemas import Email, Name

Reason = Literal[
    "refused",
    "unavailable",
    "expired",
    "invalid",
    "address_taken",
    "address_missing",
    "address_unverified",
    "already_linked",
    "other_person",
    "not_confirmed",
    "too_many_identities",
    "suspended",
]
"""Why a sign-in with a provider has failed. The page has words for each."""
TEMPORARY = frozenset({"server_error", "temporarily_unavailable"})
"""OAuth errors (RFC 6749, section 4.1.2.1) after which the same sign-in may succeed."""

MAX_NAME = 100
_EMAIL, _NAME = TypeAdapter[str](Email), TypeAdapter[str](Name)


class SignInRefused(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def address_of(person: Person) -> str:
    """Return the address with which a person may get an account. Raises `SignInRefused`.

    Whether an account has the address must not matter here: who does not own it must not learn that.
    """
    if person.email is None:
        raise SignInRefused("address_missing")
    if not person.email_verified:
        raise SignInRefused("address_unverified")
    try:
        return _EMAIL.validate_python(person.email)
    except ValidationError:
        raise SignInRefused("address_missing") from None


def name_of(person: Person, email: str) -> str:
    """Return the name for a new account: the person's, or the beginning of the address."""
    for name in (person.name or "", email.partition("@")[0]):
        try:
            return _NAME.validate_python(name.strip()[:MAX_NAME])
        except ValidationError:
            continue
    return "User"


Admission = Literal["create", "take_over", "ask_password"]


def admission(account: User | None) -> Admission:
    """Decide what to do with an unknown identity whose verified address this account has. Raises `SignInRefused`.

    Another person may have prepared an account whose address is not verified. The owner of the address takes it over,
    as by a password reset, and its password ends.
    """
    if account is None:
        return "create"
    if account.suspended_at is not None:
        raise SignInRefused("suspended")
    if not account.email_verified and account.role == "user":
        return "take_over"
    if not account.email_verified or not account.has_password:
        raise SignInRefused("address_taken")
    return "ask_password"


def proved_at(person: Person, at: datetime) -> datetime:
    """Return when the provider made sure who the person is: when it says so, but not in the future; if it does not say,
    now."""
    return min(person.authenticated_at or at, at)


def is_fresh(person: Person, at: datetime, within: timedelta) -> bool:
    """Return whether the provider has made sure in that time who the person is."""
    return at - proved_at(person, at) <= within
