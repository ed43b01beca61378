"""The tables of imports."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from services.worker.models import NOW, ZERO, Base
from shared.db.personal_data import Delete, Part, PersonalData, Update


class Import(PersonalData, Base):
    """A file of orders, and its progress: `next_offset`, `next_line` and `skipping` are where the import continues.

    uploading: not stored yet, and not listed. While it is running, `lease_id` identifies the worker that runs it; when
    `lease_until` has passed, any worker may take it. `taken_at` is when that last happened: it determines the turns of
    users. From `expires_at` on, file, errors and row are deleted.
    """

    __tablename__ = "imports"
    __export__ = Part(
        "imports",
        """
        id, state, filename, bytes, rows_total, rows_done, rows_repeated, rows_failed, error,
        created_at, started_at, finished_at
        """,
    )
    # A worker that runs one finds at its next checkpoint that it has lost the lease. File and row then expire.
    __erasure__ = Update(
        """
        state = CASE WHEN state IN ('queued', 'running') THEN 'cancelled' ELSE state END,
        lease_id = NULL, filename = NULL, expires_at = now()
        """,
        where="state <> 'uploading'",
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    state: Mapped[str]
    filename: Mapped[str | None]
    bytes: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    rows_total: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    rows_done: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    rows_repeated: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    rows_failed: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    errors_kept: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    rows_per_s: Mapped[float | None]
    error: Mapped[str | None]
    cancel_requested: Mapped[bool] = mapped_column(server_default=sa.false())
    next_offset: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    next_line: Mapped[int] = mapped_column(sa.BigInteger, server_default=ZERO)
    skipping: Mapped[bool] = mapped_column(server_default=sa.false())
    failures: Mapped[int] = mapped_column(server_default=ZERO)
    lease_id: Mapped[UUID | None]
    lease_until: Mapped[datetime] = mapped_column(server_default=NOW)
    taken_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]

    __table_args__ = (
        sa.CheckConstraint(
            "state IN ('uploading', 'queued', 'running', 'completed', 'failed', 'cancelled')", name="imports_state"
        ),
        sa.Index("imports_due", "lease_until", postgresql_where=sa.text("state IN ('queued', 'running')")),
        sa.Index("imports_turns", "user_id", "taken_at"),
        sa.Index("imports_expired", "expires_at"),
    )


class ImportRowError(PersonalData, Base):
    """An error of a row of an import; `line` is where the row begins in the file."""

    __tablename__ = "import_errors"
    __export__ = Part("import_errors", "import_id, line, field, reference, message", order_by="import_id, line, field")
    __erasure__ = Delete()  # after the update of the imports, so that no worker adds more

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str]
    message: Mapped[str]

    __table_args__ = (
        sa.ForeignKeyConstraint(["user_id", "import_id"], ["imports.user_id", "imports.id"], ondelete="CASCADE"),
    )
