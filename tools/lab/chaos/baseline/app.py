"""The application of the baseline. Accounts and sign-in are minimal; a token is the user's id."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import BackgroundTasks, Depends, FastAPI, Form, Header, HTTPException
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.orders.models import Status, is_change
from services.orders.schemas import NewOrder
from services.users.schemas import Registration
from services.worker.email.messages import Addressee
from services.worker.panels import analytics
from services.worker.settings import Settings
from shared.clock import now
from shared.contracts import events
from shared.db.engine import Database
from shared.ids import new_id
from tools.lab.chaos.baseline.later import Later
from tools.lab.chaos.baseline.models import Order, User, create_tables


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings()
    async with Database.open(settings) as db:
        await create_tables(db)
        app.state.db, app.state.later = db, Later(db, settings)
        yield


app = FastAPI(lifespan=lifespan)


def db() -> Database:
    database: Database = app.state.db
    return database


async def signed_in(authorization: Annotated[str, Header()]) -> User:
    async with db().begin() as session:
        user = await session.get(User, UUID(authorization.removeprefix("Bearer ")))
    if user is None:
        raise HTTPException(401)
    return user


UserDep = Annotated[User, Depends(signed_in)]


@app.get("/readyz")
async def ready() -> dict[str, Any]:
    await db().ping()
    return {"under_way": app.state.later.under_way}


@app.post("/v1/users", status_code=201)
async def register(body: Registration) -> dict[str, Any]:
    user = User(id=new_id(), email=body.email, name=body.name)
    try:
        async with db().begin() as session:
            session.add(user)
    except IntegrityError:
        raise HTTPException(409) from None
    return {"id": user.id}


@app.post("/v1/tokens")
async def sign_in(username: Annotated[str, Form()]) -> dict[str, Any]:
    async with db().begin() as session:
        return {"access_token": await session.scalar(sa.select(User.id).where(User.email == username))}


@app.get("/v1/me")
async def profile(user: UserDep) -> dict[str, Any]:
    return {"id": user.id, "email": user.email, "name": user.name}


@app.get("/v1/dashboard")
async def dashboard(user: UserDep) -> dict[str, Any]:
    async with db().begin() as session:
        orders = await session.scalars(sa.select(Order).where(Order.user_id == user.id).limit(20))
        return {"orders": [_shown(order) for order in orders], "analytics": await analytics(db(), [user.id], 5)}


@app.post("/v1/orders", status_code=201)
async def place(
    body: NewOrder, user: UserDep, background: BackgroundTasks, idempotency_key: Annotated[str, Header()]
) -> dict[str, Any]:
    order = Order(
        id=new_id(),
        user_id=user.id,
        key=idempotency_key,
        status=Status.CREATED,
        currency=body.currency,
        total=body.total,
        item_count=body.item_count,
        created_at=now(),
    )
    try:
        async with db().begin() as session:
            session.add(order)
    except IntegrityError:
        return await _placed_before(user, idempotency_key)
    event = _created(order, body)
    # Starlette runs them in this order; if one fails, the others are skipped.
    background.add_task(app.state.later.count, event)
    background.add_task(app.state.later.send_mail, event, Addressee(user.email, user.name))
    return _shown(order)


@app.post("/v1/orders/{order_id}/pay")
async def pay(order_id: UUID, user: UserDep, background: BackgroundTasks) -> dict[str, Any]:
    return await _move(order_id, user, Status.PAID, events.OrderPaid, background)


@app.post("/v1/orders/{order_id}/cancel")
async def cancel(order_id: UUID, user: UserDep, background: BackgroundTasks) -> dict[str, Any]:
    return await _move(order_id, user, Status.CANCELLED, events.OrderCancelled, background)


async def _move(
    order_id: UUID, user: User, target: Status, event: type[events.OrderChanged], background: BackgroundTasks
) -> dict[str, Any]:
    async with db().begin() as session:
        order = await _own(session, order_id, user)
        previous = Status(order.status)
        order.status = target
    if is_change(previous, target):
        background.add_task(app.state.later.count, _changed(order, previous, event))
    return _shown(order)


async def _own(session: AsyncSession, order_id: UUID, user: User) -> Order:
    query = sa.select(Order).where(Order.id == order_id, Order.user_id == user.id).with_for_update()
    order = await session.scalar(query)
    if order is None:
        raise HTTPException(404)
    return order


async def _placed_before(user: User, key: str) -> dict[str, Any]:
    async with db().begin() as session:
        query = sa.select(Order).where(Order.user_id == user.id, Order.key == key)
        return _shown((await session.scalars(query)).one())


def _created(order: Order, body: NewOrder) -> events.OrderCreated:
    lines = [
        events.OrderLine(sku=item.sku, name=item.name, quantity=item.quantity, unit_price=item.unit_price)
        for item in body.items
    ]
    return events.OrderCreated(
        user_id=order.user_id,
        order_id=order.id,
        currency=order.currency,
        total=order.total,
        item_count=order.item_count,
        items=tuple(lines),
        created_at=order.created_at,
    )


def _changed(order: Order, previous: Status, event: type[events.OrderChanged]) -> events.OrderChanged:
    return event(
        user_id=order.user_id,
        order_id=order.id,
        previous_status=previous,
        currency=order.currency,
        total=order.total,
        created_at=order.created_at,
        changed_at=now(),
    )


def _shown(order: Order) -> dict[str, Any]:
    return {"id": order.id, "status": order.status, "total": order.total, "currency": order.currency}
