"""Requests and responses of the users service, as JSON or form. Display names must be visible."""

import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import idna
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic.json_schema import SkipJsonSchema

from services.users.passwords import MAX_GIVEN, MAX_LENGTH, MIN_LENGTH, has_length
from shared.http.tokens import Role

MAX_EMAIL = 254

BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols without a visible shape."""
IGNORED = frozenset("\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f")
"""Invisible marks, in addition to those of the categories."""
JOINERS = frozenset("\u200c\u200d")
INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


def _normalized(address: str) -> str:
    return validate_email(address, check_deliverability=False).normalized


def _no_encoded_word(address: str) -> str:
    """Mail readers decode `=?utf-8?q?...?=` in a header into other text."""
    if "=?" in address:
        raise ValueError("must not contain =?")
    return address


def _normalized_if_valid(address: str) -> str:
    """Normalise like registration; a string that is not an address matches no account."""
    try:
        return _normalized(address)
    except EmailNotValidError:
        return address


def visible(name: str) -> str:
    """Return the name. Raises `ValueError` if it contains an invisible character or one that changes the text
    direction."""
    for position, char in enumerate(name):
        if _is_hidden(name, position):
            raise ValueError(f"must not contain invisible characters (U+{ord(char):04X})")
    if not any(unicodedata.category(char)[0] in "LNPS" for char in name):
        raise ValueError("must contain a visible character")
    return name


def _is_hidden(name: str, position: int) -> bool:
    char = name[position]
    if char in JOINERS:
        return not _joins(name, position)
    if _is_variation(char):
        # After an ideograph or a symbol it selects a shape.
        return position == 0 or unicodedata.category(name[position - 1]) not in ("Lo", "So")
    return char in BLANKS or char in IGNORED or unicodedata.category(char) in INVISIBLE


def _joins(name: str, position: int) -> bool:
    """Return whether a joiner is where Persian and Indic scripts need it (RFC 5892, appendix A)."""
    try:
        return idna.valid_contextj(name, position)
    except ValueError:
        return False


def _is_variation(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"


Email = Annotated[
    str,
    StringConstraints(max_length=MAX_EMAIL),
    AfterValidator(_no_encoded_word),
    AfterValidator(_normalized),  # not EmailStr, which accepts "Ada <ada@example.com>" and drops the name
    Field(json_schema_extra={"format": "email"}, examples=["ada@example.com"]),
]
VisibleText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"),
    AfterValidator(visible),
]
Name = Annotated[
    VisibleText,
    Field(description="no control characters and no invisible ones", examples=["Ada Lovelace"]),
]
_NO_NUL = r"^[^\x00]*$"
Password = Annotated[
    str,
    StringConstraints(max_length=MAX_GIVEN, pattern=_NO_NUL),
    AfterValidator(lambda password: has_length(password, MIN_LENGTH)),
    Field(
        description="rejected if it is easy to guess",
        examples=["correct horse battery"],
        json_schema_extra={"minLength": MIN_LENGTH, "maxLength": MAX_LENGTH},
    ),
]
GivenPassword = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_GIVEN, pattern=_NO_NUL),
    AfterValidator(lambda password: has_length(password, 1)),
    Field(json_schema_extra={"maxLength": MAX_LENGTH}, examples=["correct horse battery"]),
]
"""A password to compare with a stored one: a password that is not allowed is simply wrong."""
Opaque = Annotated[str, StringConstraints(max_length=255, pattern=_NO_NUL)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Registration(Body):
    email: Email
    name: Name
    password: Password


class ProfileChange(Body):
    """Omitted fields stay unchanged. A new address or password requires the current password."""

    name: Name | SkipJsonSchema[None] = None
    email: Email | SkipJsonSchema[None] = None
    password: Password | SkipJsonSchema[None] = None
    current_password: GivenPassword | SkipJsonSchema[None] = None

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("cannot be null; leave it out to keep it")
        return value


class Confirmation(Body):
    """The signed-in user confirms their identity."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"required": ["current_password"]})

    current_password: GivenPassword | SkipJsonSchema[None] = None


UNCONFIRMED = Confirmation()


class LinkToken(Body):
    """The end of a link in a mail."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL), Field(examples=["4fQz81…"])]


class ForgottenPassword(Body):
    email: Email


class NewPassword(LinkToken):
    password: Password


class OAuth2Request(Body):
    """Parameters that OAuth2 clients send, and that have no meaning here."""

    scope: Opaque = ""
    client_id: Opaque | None = None
    client_secret: Opaque | None = None


class PasswordGrant(OAuth2Request):
    """RFC 6749, section 4.3.2; `username` is the e-mail address."""

    grant_type: Literal["password"] = "password"
    username: Annotated[
        str,
        StringConstraints(min_length=1, max_length=MAX_EMAIL, pattern=_NO_NUL),
        AfterValidator(_normalized_if_valid),
        Field(examples=["ada@example.com"]),
    ]
    password: GivenPassword


class RefreshGrant(OAuth2Request):
    """RFC 6749, section 6."""

    grant_type: Literal["refresh_token"] = "refresh_token"
    refresh_token: Annotated[
        str, StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL), Field(examples=["V0kx5n…"])
    ]


class TokenPair(BaseModel):
    """RFC 6749, section 5.1."""

    access_token: str = Field(examples=["eyJhbGciOiJFZERTQSJ9…"])
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  a constant of the protocol
    expires_in: int = Field(description="seconds for which the access token is valid", examples=[900])
    refresh_token: str = Field(
        description="single-use; may be repeated for a short time if the answer was lost; "
        "a second use later ends the session",
        examples=["V0kx5n…"],
    )


class Profile(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str = Field(examples=["ada@example.com"])
    email_verified: bool
    pending_email: str | None = Field(description="a new address, until it is confirmed")
    name: str = Field(examples=["Ada Lovelace"])
    role: Role
    avatar_url: str | None
    has_password: bool = Field(description="if not, the account is only opened by an identity provider")
    created_at: datetime
    updated_at: datetime


class Account(Profile):
    """A profile as operators see it."""

    suspended_at: datetime | None


class AccountDetail(Account):
    """An account with its open sessions, for operators."""

    sessions: int


class Count(BaseModel):
    count: int = Field(examples=[42])
