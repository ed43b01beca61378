"""The claims of another issuer's token: who the caller is, and what they may do, in terms of this system."""

import unicodedata
from collections.abc import Mapping
from typing import get_args
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from services.gateway.trusted_issuers import TrustedIssuer
from shared.http.tokens import InvalidToken, Role

MAX_TEXT = 256
"""The longest subject, and the longest text among the claims that are kept, in characters."""
MAX_INTEGER = 2**53
UNREADABLE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories: control characters, lone surrogates, and separators of lines and paragraphs."""
RANKS: tuple[Role, ...] = get_args(Role)
"""From the lowest to the highest."""

Claims = Mapping[str, object]


class ForeignClaims(msgspec.Struct, frozen=True, gc=False):
    """The caller of a verified token; `expires` is Unix time, `kept` has the claims that are short texts, integers or
    booleans."""

    subject: str
    role: Role
    expires: float
    kept: Claims


def person_id(issuer: str, subject: str) -> UUID:
    """Return the id by which caches, limits, streams and revocations know a user of another issuer.

    Two issuers never share a user. It is a UUIDv5, which no account of this system has.
    """
    return uuid5(NAMESPACE_URL, f"{issuer}\n{subject}")


def read_claims(claims: Mapping[str, object], expires: int, trusted: TrustedIssuer) -> ForeignClaims:
    """Return the caller. Raises `InvalidToken` if the claims identify none."""
    subject = subject_of(claims, trusted.user_id)
    return ForeignClaims(subject, role_of(claims, trusted), min(expires, MAX_INTEGER), kept_claims(claims))


def subject_of(claims: Claims, path: str) -> str:
    """Return the claim that identifies the caller; an integer becomes its text. Raises `InvalidToken`."""
    found = claim_at(claims, path)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str) or not is_readable(found) or not found.strip():
        raise InvalidToken(f"the claim {path} does not identify a user")
    return found


def role_of(claims: Claims, trusted: TrustedIssuer) -> Role:
    """Return the highest role that a value of the claim is mapped to; without one, `user`."""
    found = claim_at(claims, trusted.role) if trusted.role else None
    values = found if isinstance(found, list) else [found]
    roles = [trusted.roles[value] for value in values if isinstance(value, str) and value in trusted.roles]
    return max(roles, key=RANKS.index, default="user")


def kept_claims(claims: Claims) -> Claims:
    """Return the claims that are short texts, integers or booleans."""
    return {name: value for name, value in claims.items() if is_readable(name) and _is_kept(value)}


def _is_kept(value: object) -> bool:
    if isinstance(value, str):
        return is_readable(value)
    return isinstance(value, int) and abs(value) <= MAX_INTEGER


def claim_at(claims: Claims, path: str) -> object:
    """Return the claim with that name, or at that path of names; None if there is none."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def is_readable(text: str) -> bool:
    """Return whether it has 1 to `MAX_TEXT` characters, none of them a control character."""
    return 0 < len(text) <= MAX_TEXT and not any(unicodedata.category(each) in UNREADABLE for each in text)
