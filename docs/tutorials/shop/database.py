"""The tables of the shop, and its sessions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Sessions = async_sessionmaker[AsyncSession]


class Base(DeclarativeBase):
    pass


class Article(Base):
    """`left` are for sale, `packed` are in parcels."""

    __tablename__ = "articles"

    sku: Mapped[str] = mapped_column(primary_key=True)
    left: Mapped[int]
    packed: Mapped[int]


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    sku: Mapped[str]
    quantity: Mapped[int]


class Parcel(Base):
    """`task_id` is the id of the task that has packed it."""

    __tablename__ = "parcels"

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Sessions]:
    """Provide sessions within the block. They connect on first use."""
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1), pool_pre_ping=True)
    try:
        yield async_sessionmaker(engine, expire_on_commit=False)
    finally:
        await engine.dispose()
