"""A ledger with its retry loop and its routes for operators, without a broker: messages arrive by a call."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from fastapi import FastAPI

from services.worker.ledger.admin.routes import router
from services.worker.ledger.job import Batching, ExternalEffect, Job, JobMessage, Policy
from services.worker.ledger.ledger import Ledger, Outcome
from services.worker.ledger.retries import Retries
from services.worker.settings import Settings
from shared.clock import now, rfc3339
from shared.contracts import events
from shared.contracts.events import Envelope
from shared.contracts.tasks import Task
from shared.db.engine import Connection, Database, is_outage
from shared.http import application
from shared.http.tokens import ServiceTokens
from shared.ids import new_id
from tests.support.waiting import eventually
from tests.support.worker.operators import acting
from tests.support.worker.world import LONG_S, SECRET

INTERVAL_S = 0.5


class WriteNote(Task, frozen=True, kw_only=True):
    text: str = ""


@dataclass
class Recorder:
    """The effect of a job: records what it ran, and fails as often as it is told."""

    ran: list[Envelope] = field(default_factory=list)
    failures: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    times: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    async def __call__(self, _: Connection, envelope: Envelope) -> ExternalEffect | None:
        self.times.append(asyncio.get_running_loop().time())
        self.started.set()
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise RuntimeError("broken on request")
        self.ran.append(envelope)
        return None

    async def many(self, connection: Connection, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            await self(connection, envelope)

    @property
    def ids(self) -> list[UUID]:
        return [envelope.id for envelope in self.ran]


def job_of(recorder: Recorder, name: str = "notes", **more: Any) -> Job:
    policy = Policy(attempts=3, backoff_base_s=0.01, backoff_cap_s=0.01, prefetch=20, concurrency=4)
    fields: dict[str, Any] = {"policy": policy, "effect": recorder, "types": (WriteNote.type,)} | more
    return Job(name=name, **fields)


def batching(recorder: Recorder) -> Batching:
    return Batching(effect=recorder.many, size=10, wait_s=0)


def note(
    *,
    due: datetime | None = None,
    key: str | None = None,
    seen: datetime | None = None,
    time: datetime | None = None,
    traceparent: str | None = None,
    task: Task | None = None,
) -> JobMessage:
    """A message as the relay publishes it."""
    event_id, task = new_id(), task or WriteNote()
    headers = {"id": str(event_id), "type": task.type, "time": rfc3339(time or now()), "subject": str(task.user_id)}
    for name, value in (("due", due), ("seen", seen or (now() if key else None))):
        if value is not None:
            headers[name] = rfc3339(value)
    if key is not None:
        headers["key"] = key
    if traceparent is not None:
        headers["traceparent"] = traceparent
    return JobMessage.read(headers, events.encode(task), str(event_id))


def later(**delta: float) -> datetime:
    return now() + timedelta(**delta)


@dataclass
class Notes:
    """One worker."""

    db: Database
    ledger: Ledger
    job: Job
    jobs: list[Job]
    http: httpx.AsyncClient

    async def arrive(self, message: JobMessage, job: Job | None = None) -> Outcome:
        return await self.ledger.run_observed(job or self.job, message)

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        async with self.db.connection() as connection:
            return await connection.fetch(statement, *arguments)

    async def state(self, event_id: UUID, job: str = "notes") -> str:
        """The state as operators see it."""
        answer = await self.http.get(f"/v1/admin/jobs/{job}/{event_id}", headers=acting())
        state: str = answer.json()["state"]
        return state

    async def until(self, event_id: UUID, state: str, job: str = "notes") -> None:
        async def reached() -> bool:
            return await self.state(event_id, job) == state

        await eventually(reached, LONG_S)

    async def post(self, path: str, role: str = "admin") -> httpx.Response:
        return await self.http.post(f"/v1/admin/{path}", headers=acting(role))

    async def read(self, path: str, role: str = "admin", **query: Any) -> Any:
        answer = await self.http.get(f"/v1/admin/{path}", params=query, headers=acting(role))
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def noting(settings: Settings, *jobs: Job, looping: bool = True) -> AsyncIterator[Notes]:
    """Run a worker with these jobs; without its retry loop, nothing that is stored runs."""
    app = application.create_app("worker", settings, lifespan=_nothing, routes=[router], is_outage=is_outage)
    tokens = ServiceTokens(SECRET.get_secret_value(), "gateway")

    def as_gateway(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {tokens.token()}"
        return request

    async with (
        Database.open(settings) as db,
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker", auth=as_gateway) as http,
    ):
        ledger = Ledger(db, lambda *_: None, settings.keep_done_s)
        app.state.db, app.state.ledger, app.state.jobs = db, ledger, {job.name: job for job in jobs}
        loop = asyncio.create_task(Retries(db, ledger, jobs, LONG_S, INTERVAL_S).run()) if looping else None
        try:
            yield Notes(db, ledger, jobs[0], list(jobs), http)
        finally:
            if loop:
                loop.cancel()
                with suppress(asyncio.CancelledError):
                    await loop


@asynccontextmanager
async def _nothing(_: FastAPI) -> AsyncIterator[None]:
    yield
