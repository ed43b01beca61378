"""Routes of the users service that only the gateway calls, about somebody's account."""

from typing import Annotated
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, StringConstraints

SIGN_OUT = "/internal/sign-out"
"""POST {"refresh_token"} → {"session_id"}: ends the session of a refresh token, used or not."""
CONFIRM = "/internal/password"
"""POST {"current_password"} → 204 when it is the caller's."""
CURRENT_PASSWORD = "current_password"  # noqa: S105  the name of a field
"""The field in which every route takes the password of somebody who is signed in."""
EXPORT = "/v1/me/export"


AUDIT_PATH = "/internal/audit"

_NO_NUL = r"^[^\x00]*$"
Action = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]
Detail = Annotated[str, StringConstraints(min_length=1, max_length=8000, pattern=_NO_NUL)]


class Entry(BaseModel):
    """`action` is a method and a path template; `detail` the ids in the path; `subject_id` whom it is about."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    subject_id: UUID | None = None
    detail: Detail | None = None


REVOCATIONS_PATH = "/internal/revocations"
MAX_PAGE = 10_000
"""Ids in one answer, at most; the cursor of a full answer leads to the next."""


class Revocations(msgspec.Struct, frozen=True):
    """Ids that ended since the cursor that was asked for; an id may come more than once."""

    cursor: int
    sessions: tuple[UUID, ...]
    users: tuple[UUID, ...]


PERSONAL_DATA_PATH = "/internal/export"
"""Where a service gives out all that it keeps of the caller, as one JSON object."""


MAX_PICTURE_BYTES = 10 * 1024 * 1024
"""The largest body with a picture: a phone's photo of 20 megapixels has 5 to 8 MB."""

IDLE_S = 1.0
"""A connection to a service that was idle for longer is not used again: less than a service that ends still listens
(`DRAIN_S`), so that no request is on its way to a connection that is just being closed."""
