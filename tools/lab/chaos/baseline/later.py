"""The work after a response: the same effects as the worker's jobs, each with three attempts."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiosmtplib

from services.worker.analytics import job as analytics
from services.worker.email import job as email
from services.worker.email.messages import Addressee, compose
from services.worker.settings import Settings
from shared.clock import now
from shared.contracts.events import Envelope, Event, OrderCreated
from shared.db.engine import Database
from shared.ids import new_id

PAUSES_S = (0.5, 2.0)
"""The pauses before the second and the third attempt."""


class Later:
    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._smtp = urlsplit(settings.smtp_url)
        self._sender = settings.mail_from
        self.under_way = 0

    async def send_mail(self, order: OrderCreated, to: Addressee) -> None:
        values = {"order": order, "number": email.order_number(order.order_id)}
        mail = compose(new_id(), now(), email.CREATED, values, to, self._sender)
        await self._tried(
            lambda: aiosmtplib.send(
                mail.content,
                sender=mail.sender,
                recipients=[mail.recipient],
                hostname=self._smtp.hostname,
                port=self._smtp.port,
            )
        )

    async def count(self, event: Event) -> None:
        await self._tried(lambda: self._count(event))

    async def _count(self, event: Event) -> None:
        async with self._db.connection() as connection, connection.transaction():
            await analytics.add(connection, [_envelope(event)])

    async def _tried(self, attempt: Callable[[], Awaitable[object]]) -> None:
        self.under_way += 1
        try:
            for pause_s in PAUSES_S:
                try:
                    await attempt()
                except Exception:
                    await asyncio.sleep(pause_s)
                else:
                    return
            await attempt()
        finally:
            self.under_way -= 1


def _envelope(event: Event) -> Envelope:
    return Envelope(id=new_id(), time=now(), event=event)
