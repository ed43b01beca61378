"""Routes of the users service for accounts that only the gateway calls."""

from typing import Annotated
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


REVOCATIONS_PATH = "/internal/revocations"
MAX_PAGE = 10_000
"""The maximum number of ids in one response; the cursor of a full response leads to the next."""


class Revocations(msgspec.Struct, frozen=True):
    """Ids that ended since the requested cursor; an id may appear more than once. Deleted API keys are among the
    sessions."""

    cursor: int
    sessions: tuple[UUID, ...]
    users: tuple[UUID, ...]


PERSONAL_DATA_PATH = "/internal/export"
"""The path at which a service exports all data that it stores about the caller, as one JSON object."""


MAX_PICTURE_BYTES = 10 * 1024 * 1024
"""The largest body with a picture: a phone's photo of 20 megapixels has 5 to 8 MB."""

IDLE_S = 1.0
"""A connection to a service that was idle for longer is not used again. It must be shorter than `DRAIN_S`, so that
no request is sent on a connection that the service is closing."""
