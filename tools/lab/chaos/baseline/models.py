"""The tables of the baseline; the rollups are those of the worker."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.worker import models as worker
from shared.db.engine import TYPES, Database


class Base(DeclarativeBase):
    type_annotation_map = TYPES


class User(Base):
    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(index=True)
    key: Mapped[str]
    status: Mapped[str]
    currency: Mapped[str]
    total: Mapped[int] = mapped_column(sa.BigInteger)
    item_count: Mapped[int]
    created_at: Mapped[datetime]

    __table_args__ = (sa.UniqueConstraint("user_id", "key"),)


ROLLUPS = (worker.UserRollup, worker.UserStatusRollup, worker.UserCurrencyRollup, worker.DailyRollup)


async def create_tables(db: Database) -> None:
    rollups = [worker.Base.metadata.tables[model.__tablename__] for model in ROLLUPS]
    async with db.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(worker.Base.metadata.create_all, tables=rollups)
