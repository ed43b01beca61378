"""The table of digests."""

from datetime import date
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from services.worker.models import Base
from shared.db.personal_data import Delete, NotExported, PersonalData


class WeeklyDigest(PersonalData, Base):
    """The last digest of a user: the Monday of its week, and its task."""

    __tablename__ = "weekly_digests"
    __export__ = NotExported("which digest was sent last; the mails are exported")
    __erasure__ = Delete()

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    week: Mapped[date]
    event_id: Mapped[UUID]
