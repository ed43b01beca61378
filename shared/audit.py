"""What the gateway tells the users service of what operators do elsewhere."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints

PATH = "/internal/audit"

_NO_NUL = r"^[^\x00]*$"
Action = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]
Detail = Annotated[str, StringConstraints(min_length=1, max_length=8000, pattern=_NO_NUL)]


class Entry(BaseModel):
    """`action` is a method and a path template; `detail` the ids in the path; `subject_id` whom it is about."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    subject_id: UUID | None = None
    detail: Detail | None = None
