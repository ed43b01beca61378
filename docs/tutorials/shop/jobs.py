"""The jobs of the shop. The worker of the dashboard runs them: `WORKER_JOBS=shop.jobs`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.worker.email.messages import Template
from services.worker.email.sending import Mails, Sending
from services.worker.jobs import job, resource
from shared.contracts.events import Envelope
from shared.outbox.tasks import DurableTasks
from shop.database import Article, Order, Parcel, Sessions, opened
from shop.settings import Settings
from shop.tasks import ConfirmOrder, PackOrder

CONFIRMATION = Template("Your order is packed", "Hello,\n\nyour order {{ order_id }} is packed.\n")


@dataclass(frozen=True)
class Shop:
    sessions: Sessions


@resource
async def shop() -> AsyncIterator[Shop]:
    async with opened(Settings().database_url) as sessions:
        yield Shop(sessions)


@job(on=PackOrder, attempts=20)
async def pack(task: PackOrder, envelope: Envelope, shop: Shop, tasks: DurableTasks) -> None:
    """The effect is in the shop's database, which commits before the worker's: it happens once for each task id."""
    async with shop.sessions.begin() as session:
        order = await session.get_one(Order, task.order_id)
        parcel = insert(Parcel).values(task_id=envelope.id, order_id=order.id).on_conflict_do_nothing()
        if (await session.execute(parcel.returning(Parcel.task_id))).first():
            article = sa.update(Article).where(Article.sku == order.sku)
            await session.execute(article.values(packed=Article.packed + order.quantity))
    tasks.add_task(ConfirmOrder(order_id=order.id, email=order.email))


@job(on=ConfirmOrder, attempts=20)
async def confirm(task: ConfirmOrder, mails: Mails) -> Sending | None:
    return await mails.to_address(task.email, CONFIRMATION, order_id=task.order_id)
