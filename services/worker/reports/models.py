"""The table of reports."""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from services.worker.models import NOW, Base
from shared.db.personal_data import Delete, Part, PersonalData


class Report(PersonalData, Base):
    """A report definition: UTC days, both included. The rows are read during the download."""

    __tablename__ = "reports"
    __export__ = Part("reports", "id, kind, first_day, last_day, created_at")
    __erasure__ = Delete()

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    first_day: Mapped[date]
    last_day: Mapped[date]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (sa.CheckConstraint("kind IN ('orders', 'analytics')", name="reports_kind"),)
