"""The table of profile pictures."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from services.users.models import Base
from shared.db.personal_data import Cascade, Part, PersonalData


class Avatar(PersonalData, Base):
    """A user's picture in one size (pixels of a side), as WebP; `digest` identifies the version."""

    __tablename__ = "avatars"
    __export__ = Part(
        "avatars",
        "size, 'image/webp' AS media_type, translate(encode(content, 'base64'), E'\\n', '') AS base64",
        order_by="size",
    )
    __erasure__ = Cascade()

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    size: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True)
    digest: Mapped[str]
    content: Mapped[bytes]
