"""The shop: a FastAPI application with a database of its own, and tasks that are committed with its orders."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID, uuid4

import sqlalchemy as sa
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, EmailStr, Field
from sqlalchemy.ext.asyncio import AsyncSession

from shared.outbox.relay import relaying
from shared.outbox.tasks import DurableTasks
from shop.database import Article, Order, opened
from shop.settings import Settings
from shop.tasks import PackOrder


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings()
    async with (
        opened(settings.database_url) as app.state.sessions,
        relaying("shop", database_url=settings.database_url, rabbitmq_url=settings.rabbitmq_url),
    ):
        yield


app = FastAPI(title="Shop", lifespan=lifespan)


async def transaction(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions.begin() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(transaction, scope="function")]


def durable_tasks(session: SessionDep) -> DurableTasks:
    return DurableTasks(session)


TasksDep = Annotated[DurableTasks, Depends(durable_tasks, scope="function")]


class NewOrder(BaseModel):
    email: EmailStr
    sku: str
    quantity: int = Field(ge=1, le=1000)


@app.post("/orders", status_code=201)
async def place_order(body: NewOrder, session: SessionDep, tasks: TasksDep) -> UUID:
    """Place an order, to be packed by the worker. If the article is sold out, there is neither an order nor a task."""
    order = Order(id=uuid4(), **body.model_dump())
    session.add(order)
    tasks.add_task(PackOrder(order_id=order.id))
    await session.flush()
    in_stock = sa.update(Article).where(Article.sku == body.sku, Article.left >= body.quantity)
    taken = await session.execute(in_stock.values(left=Article.left - body.quantity).returning(Article.sku))
    if taken.first() is None:
        raise HTTPException(409, "sold out")
    return order.id
