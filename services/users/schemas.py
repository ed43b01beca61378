"""What the users service takes and gives, as JSON or form."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic.json_schema import SkipJsonSchema

from services.users.names import visible
from services.users.passwords import MAX_GIVEN, MAX_LENGTH, MIN_LENGTH, has_length
from shared.http.tokens import Role

MAX_EMAIL = 254


def _normalized(address: str) -> str:
    return validate_email(address, check_deliverability=False).normalized


def _no_encoded_word(address: str) -> str:
    """Mail readers take `=?utf-8?q?...?=` in a header for other text than it is."""
    if "=?" in address:
        raise ValueError("must not contain =?")
    return address


def _normalized_if_valid(address: str) -> str:
    """As registration writes it; what is no address belongs to nobody."""
    try:
        return _normalized(address)
    except EmailNotValidError:
        return address


Email = Annotated[
    str,
    StringConstraints(max_length=MAX_EMAIL),
    AfterValidator(_no_encoded_word),
    AfterValidator(_normalized),  # not EmailStr, which takes "Ada <ada@example.com>" and drops the name
    Field(json_schema_extra={"format": "email"}, examples=["ada@example.com"]),
]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"),
    AfterValidator(visible),
    Field(description="no control characters, and none that nobody sees", examples=["Ada Lovelace"]),
]
_NO_NUL = r"^[^\x00]*$"
Password = Annotated[
    str,
    StringConstraints(max_length=MAX_GIVEN, pattern=_NO_NUL),
    AfterValidator(lambda password: has_length(password, MIN_LENGTH)),
    Field(
        description="refused when it is easy to guess",
        json_schema_extra={"minLength": MIN_LENGTH, "maxLength": MAX_LENGTH},
    ),
]
GivenPassword = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_GIVEN, pattern=_NO_NUL),
    AfterValidator(lambda password: has_length(password, 1)),
    Field(json_schema_extra={"maxLength": MAX_LENGTH}),
]
"""A password to be compared with a stored one: what never was allowed is simply wrong."""
Opaque = Annotated[str, StringConstraints(max_length=255, pattern=_NO_NUL)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Registration(Body):
    email: Email
    name: Name
    password: Password


class ProfileChange(Body):
    """What is left out stays as it is. A new address or password needs the current password."""

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
    """Who is signed in says that it is them."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"required": ["current_password"]})

    current_password: GivenPassword | SkipJsonSchema[None] = None


UNCONFIRMED = Confirmation()


class OAuth2Request(Body):
    """Parameters that OAuth2 clients send along, without a meaning here."""

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
    ]
    password: GivenPassword


class RefreshGrant(OAuth2Request):
    """RFC 6749, section 6."""

    grant_type: Literal["refresh_token"] = "refresh_token"
    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL)]


class TokenPair(BaseModel):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  a constant of the protocol
    expires_in: int = Field(description="seconds for which the access token is valid")
    refresh_token: str = Field(
        description="good for one use, which may be repeated for a short time if the answer was lost; "
        "a second use later ends the session"
    )


class Profile(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    name: str
    role: Role
    avatar_url: str | None
    created_at: datetime
    updated_at: datetime


class Count(BaseModel):
    count: int
