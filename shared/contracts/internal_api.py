"""Routes of the users service that only the gateway or the worker calls."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, StringConstraints

SIGN_OUT = "/internal/sign-out"
"""POST {"refresh_token"} → {"session_id"}: ends the session of a refresh token, used or not."""
CONFIRM = "/internal/password"
"""POST {"current_password"} → 204 if it is the caller's password."""
CURRENT_PASSWORD = "current_password"  # noqa: S105  the name of a field
"""The field in which every route takes the current password of the signed-in user."""
EXPORT = "/v1/me/export"


IDENTITY_FLOWS = "/internal/identity-flows"
"""POST `FlowRequest` → `FlowStarted`: begins a sign-in with an identity provider, for the caller if there is one."""
IDENTITY_CALLBACKS = "/internal/identity-callbacks"
"""POST `FlowReturn` → `FlowFinished`: a browser has returned from the provider."""
IDENTITY_LINK_ACCOUNT = "/internal/identity-links/account"
"""POST `LinkTicket` → {"email"}: the account whose password is needed to link an identity."""
IDENTITY_LINKS = "/internal/identity-links"
"""POST `LinkPassword` → tokens: links the identity, and signs in."""
FLOW_VALID_S = 600
"""How long a sign-in with a provider may take, and after it the entering of a password: as long as its cookie lives."""
ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
"""A provider in the paths of the API, and in the address to which it returns."""


AUDIT_PATH = "/internal/audit"

_NO_NUL = r"^[^\x00]*$"
Action = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]
Detail = Annotated[str, StringConstraints(min_length=1, max_length=8000, pattern=_NO_NUL)]


class Entry(BaseModel):
    """`action` is a method and a path template; `detail` contains the ids in the path; `subject_id` is the affected
    user."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    subject_id: UUID | None = None
    detail: Detail | None = None


_Secret = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]
_Parameter = Annotated[str, StringConstraints(max_length=8000, pattern=_NO_NUL)]


class FlowRequest(BaseModel):
    """`purpose`: `link` an identity to the caller's account, or `confirm` who the caller is. A `sign_in` needs no
    caller."""

    model_config = ConfigDict(extra="forbid")

    provider: ProviderName
    purpose: Literal["sign_in", "link", "confirm"] = "sign_in"
    current_password: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=_NO_NUL)] | None = None


class FlowStarted(msgspec.Struct, frozen=True):
    """`url` is the address of the provider; `secret` belongs into a cookie of the browser that is sent there."""

    url: str
    secret: str


class FlowReturn(BaseModel):
    """The parameters that the provider has added to the address; None for one that is missing. `secret` is that of the
    browser's cookie."""

    model_config = ConfigDict(extra="forbid")

    provider: ProviderName
    secret: _Secret
    state: _Parameter | None = None
    code: _Parameter | None = None
    error: _Parameter | None = None
    iss: _Parameter | None = None


class FlowFinished(msgspec.Struct, frozen=True):
    """`page` is the place on the page to which the browser goes: a path with a fragment. With a `refresh_token`,
    a user has signed in. `link_secret` belongs into the cookie of a browser in which a password is to be entered."""

    page: str
    refresh_token: str | None = None
    link_secret: str | None = None


class LinkTicket(BaseModel):
    """`ticket` is what the page has, `secret` that of the browser's cookie."""

    model_config = ConfigDict(extra="forbid")

    secret: _Secret
    ticket: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL)]


class LinkPassword(LinkTicket):
    password: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=_NO_NUL)]


REVOCATIONS_PATH = "/internal/revocations"
MAX_PAGE = 10_000
"""The maximum number of ids in one response; the cursor of a full response leads to the next."""


class Revocations(msgspec.Struct, frozen=True):
    """Ids that ended since the requested cursor; an id may appear more than once. Deleted API keys are among the
    sessions."""

    cursor: int
    sessions: tuple[UUID, ...]
    users: tuple[UUID, ...]


LINKS_PATH = "/internal/mail-links"
"""POST `LinkRequest` → `MailLink`. The worker asks when it sends the mail, so that no event contains the token."""
ADDRESSES_PATH = "/internal/addresses"
"""GET …/{user_id} → `MailAddress`, for the worker."""

Purpose = Literal["verify", "change", "reset"]
"""What a link is for: verifying the address of a new account, changing it, or resetting the password."""


class LinkRequest(BaseModel):
    """`email` is the recipient. It must be the address that the link is about."""

    model_config = ConfigDict(extra="forbid")

    user_id: UUID
    purpose: Purpose
    email: Annotated[str, StringConstraints(min_length=1, max_length=254, pattern=_NO_NUL)]


class MailLink(msgspec.Struct, frozen=True):
    """`url` ends with a single-use token, which is valid for `valid_s` seconds."""

    url: str
    valid_s: int


class MailAddress(msgspec.Struct, frozen=True):
    email: str
    verified: bool


PERSONAL_DATA_PATH = "/internal/export"
"""The path at which a service exports all data that it stores about the caller, as one JSON object."""


MAX_PICTURE_BYTES = 10 * 1024 * 1024
"""The largest body with a picture: a phone's photo of 20 megapixels has 5 to 8 MB."""

IDLE_S = 1.0
"""A connection to a service that was idle for longer is not used again. It must be shorter than `DRAIN_S`, so that
no request is sent on a connection that the service is closing."""
