"""A worker in this process, and what tests do around it: publish events, read tables, ask over HTTP."""

import asyncio
import atexit
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import httpx
from fastapi import FastAPI
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from services.worker.main import create_app
from services.worker.settings import Settings, Tuning
from shared.clock import now, rfc3339
from shared.contracts import events, topology
from shared.http.identity import USER_ID_HEADER, USER_ROLE_HEADER
from shared.http.tokens import ServiceTokens
from shared.ids import new_id
from shared.observability.probes import readiness
from tests.support.tuned_service import tuning_from, tuning_in
from tests.support.waiting import eventually

SECRET = SecretStr("a secret that only these tests know")
NOBODY = "smtp://127.0.0.1:1"
JOBS = ("analytics", "email", "notifications", "webhooks")
LONG_S = 180.0
"""How long a test waits for what a worker does in a second: the machine may be busy with other things."""
PATIENT = (
    *("smtp_connect_timeout_s", "smtp_command_timeout_s", "smtp_answer_timeout_s", "smtp_send_timeout_s"),
    *("import_orders_timeout_s", "webhook_connect_timeout_s", "webhook_read_timeout_s", "webhook_total_timeout_s"),
)
LEASES = ("mail_lease_s", "import_lease_s", "webhook_lease_s")
END_LEASES = (
    "UPDATE mails SET lease_until = now() WHERE lease_until IS NOT NULL",
    "UPDATE imports SET lease_until = now() WHERE lease_id IS NOT NULL",
    "UPDATE webhook_deliveries SET lease_until = now() WHERE lease_until IS NOT NULL",
    "UPDATE jobs SET next_attempt_at = now() WHERE state = 'retrying'",
)
COUNT = "SELECT job, state, count(*) AS events FROM jobs WHERE event_id = ANY($1) GROUP BY job, state"


class Tuned(Settings):
    """Settings and tuning in one, as tests name them: what is no setting is a field of `Tuning`."""

    model_config = SettingsConfigDict(extra="allow")


def tuning_of(settings: Settings) -> Tuning:
    tuning: Tuning = tuning_from("worker", tuning_in(settings))
    return tuning


def app_of(settings: Settings) -> FastAPI:
    return create_app(settings, tuning_of(settings))


@cache
def storage_url() -> str:
    """A folder of this process. One with a fixed name may belong to another user of the machine."""
    folder = tempfile.TemporaryDirectory(prefix="dashboard-storage-")
    atexit.register(folder.cleanup)
    return Path(folder.name).as_uri()


def settings_for(database_url: str, rabbitmq_url: str, **more: Any) -> Settings:
    """Looks often for what there is to do, and waits long for what others do."""
    quick: dict[str, Any] = {"reconnect_s": 0.2, "requeue_pause_s": 0.1, "sweep_interval_s": 0.25, "smtp_url": NOBODY}
    quick["storage_url"] = storage_url()
    patient: dict[str, Any] = dict.fromkeys(PATIENT, LONG_S) | dict.fromkeys(LEASES, 2 * LONG_S)
    return Tuned(
        environment="development",
        internal_token_secret=SECRET,
        database_url=database_url,
        rabbitmq_url=rabbitmq_url,
        **(quick | patient | more),
    )


class World:
    """`http` calls as the gateway does."""

    def __init__(self, app: FastAPI, settings: Settings, http: httpx.AsyncClient) -> None:
        self.app = app
        self.settings = settings
        self.http = http
        self._declared = False
        self._turn = asyncio.Lock()
        self._keeps = False
        self._kept: asyncpg.Connection | None = None

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._looking() as connection:
            return await connection.fetch(query, *arguments)

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[Self]:
        """Within the block, all queries use one connection. Outside, each query has a connection of its own."""
        self._keeps = True
        try:
            yield self
        finally:
            self._keeps = False
            if self._kept is not None:
                self._kept.terminate()

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[asyncpg.Connection]:
        if not self._keeps:
            connection = await asyncpg.connect(self.settings.database_url)
            try:
                yield connection
            finally:
                await connection.close()
            return
        async with self._turn:
            if self._kept is None or self._kept.is_closed():
                self._kept = await asyncpg.connect(self.settings.database_url)
            yield self._kept

    async def publish(self, *given: events.Event, event_id: UUID | None = None) -> list[UUID]:
        """Their ids. All are confirmed by the broker when this returns."""
        envelopes = [(event_id or new_id(), event) for event in given]
        await self.publish_raw(*(message_of(*envelope) for envelope in envelopes))
        return [envelope[0] for envelope in envelopes]

    async def publish_raw(self, *messages: aio_pika.Message) -> None:
        async with await aio_pika.connect(self.settings.rabbitmq_url) as connection:
            channel = await connection.channel()
            if not self._declared:
                await topology.declare(channel)
                self._declared = True
            names = (topology.EVENTS, topology.TASKS)
            exchanges = {name: await channel.get_exchange(name, ensure=False) for name in names}
            keyed = [(message, message.type or "") for message in messages]
            await asyncio.gather(
                *(exchanges[topology.exchange_of(key)].publish(message, key) for message, key in keyed)
            )

    async def publish_to_queue(self, queue: str, message: aio_pika.Message) -> None:
        """Past the exchanges."""
        async with await aio_pika.connect(self.settings.rabbitmq_url) as connection:
            await (await connection.channel()).default_exchange.publish(message, queue)

    async def jobs(self, event_id: UUID) -> dict[str, str]:
        """The state of an event's jobs, by job."""
        rows = await self.fetch("SELECT job, state FROM jobs WHERE event_id = $1", event_id)
        return {row["job"]: row["state"] for row in rows}

    async def until(self, event_id: UUID, within: float = LONG_S, **states: str) -> None:
        """Waits until the event's jobs (`email="done"`) have these states."""
        await self.until_all([event_id], within, **states)

    async def until_all(self, event_ids: Collection[UUID], within: float = LONG_S, **states: str) -> None:
        """Waits until these jobs of every event have these states."""

        async def reached() -> bool:
            rows = await self.fetch(COUNT, list(event_ids))
            counts = {(row["job"], row["state"]): row["events"] for row in rows}
            return all(counts.get(one) == len(set(event_ids)) for one in states.items())

        await eventually(reached, within)

    async def job(self, name: str, event_id: UUID) -> asyncpg.Record:
        [row] = await self.fetch("SELECT * FROM jobs WHERE job = $1 AND event_id = $2", name, event_id)
        return row

    async def until_failed(self, name: str, event_id: UUID, within: float = LONG_S) -> asyncpg.Record:
        """The row, once an attempt at the job has failed."""

        async def failed() -> bool:
            errors = await self.fetch("SELECT last_error FROM jobs WHERE job = $1 AND event_id = $2", name, event_id)
            return any(row["last_error"] for row in errors)

        await eventually(failed, within)
        return await self.job(name, event_id)

    async def mail(self, event_id: UUID) -> asyncpg.Record:
        [row] = await self.fetch("SELECT * FROM mails WHERE event_id = $1", event_id)
        return row

    async def known(self, **more: Any) -> UUID:
        """A user whose registration every job has seen."""
        user = registered(**more)
        [event_id] = await self.publish(user)
        await self.until(event_id, recipients="done", notifications="done")
        return user.user_id

    async def panel(self, name: str, *user_ids: UUID) -> dict[str, Any]:
        ids = [str(user_id) for user_id in user_ids]
        answer = await self.http.post(f"/internal/panels/{name}", json={"ids": ids})
        answer.raise_for_status()
        items: dict[str, Any] = answer.json()["items"]
        return items

    async def ready(self) -> httpx.Response:
        return await self.http.get("/readyz")

    async def until_ready(self, within: float = LONG_S) -> None:
        """Without a request: the first to an application takes it a fifth of a second."""

        async def is_ready() -> bool:
            ready, _ = await readiness(self.app.state.checks)
            return ready

        await eventually(is_ready, within)


async def end_leases(settings: Settings) -> None:
    """As if a long time had passed since the worker died that had them."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        for statement in END_LEASES:
            await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[World]:
    app = app_of(settings)
    tokens = ServiceTokens(SECRET.get_secret_value(), "gateway")

    def as_gateway(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {tokens.token()}"
        return request

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker", auth=as_gateway) as http,
        World(app, settings, http).keeping() as world,
    ):
        yield world


def message_of(event_id: UUID, event: events.Event, **headers: Any) -> aio_pika.Message:
    """As the relay writes it."""
    attributes = {"id": str(event_id), "type": event.type, "time": rfc3339(now()), "subject": str(event.user_id)}
    return aio_pika.Message(
        events.encode(event),
        headers=attributes | headers,
        message_id=str(event_id),
        type=event.type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def registered(
    user_id: UUID | None = None, name: str = "Ada", revision: int = 1, email: str | None = None
) -> events.UserRegistered:
    user_id = user_id or uuid4()
    email = email or f"{user_id.hex}@example.com"
    return events.UserRegistered(user_id=user_id, email=email, name=name, revision=revision, registered_at=now())


def created(user_id: UUID, total: int = 1250, currency: str = "EUR", **more: Any) -> events.OrderCreated:
    line = events.OrderLine(sku="A-1", name="Lamp", quantity=2, unit_price=total // 2)
    fields: dict[str, Any] = {"order_id": new_id(), "item_count": 2, "items": (line,), "created_at": now()} | more
    return events.OrderCreated(user_id=user_id, currency=currency, total=total, **fields)


def changed(
    kind: type[events.OrderChanged], order: events.OrderCreated, previous_status: str, after: timedelta = timedelta(0)
) -> Any:
    at: datetime = order.created_at + after
    return kind(
        user_id=order.user_id,
        order_id=order.order_id,
        previous_status=previous_status,
        currency=order.currency,
        total=order.total,
        created_at=order.created_at,
        changed_at=at,
        mail=order.mail,
    )


def deletion(user_id: UUID, revision: int = 2) -> events.UserDeleted:
    return events.UserDeleted(user_id=user_id, revision=revision, deleted_at=now())


def as_user(user_id: UUID) -> dict[str, str]:
    return {USER_ID_HEADER: str(user_id), USER_ROLE_HEADER: "user"}
