"""What the gateway tells the users service of what operators do elsewhere."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints

PATH = "/internal/audit"

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class Entry(BaseModel):
    """`action` is a method and a path template; `detail` the ids in the path; `subject_id` whom it is about."""

    model_config = ConfigDict(extra="forbid")

    action: Text
    subject_id: UUID | None = None
    detail: Text | None = None
