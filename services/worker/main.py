"""The worker: does what events ask for, and serves what comes of it. The HTTP side is up while RabbitMQ is away."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi import FastAPI

from services.worker import panels
from services.worker.admin.routes import router as admin
from services.worker.consumers import Consumers
from services.worker.gauges import measure_ledger, measure_queues
from services.worker.hints import Hints
from services.worker.jobs import every_job
from services.worker.ledger import Ledger
from services.worker.purge import purge
from services.worker.routes import router
from services.worker.settings import Settings
from services.worker.smtp import Mailer
from services.worker.sweeper import Sweeper
from shared import serve, web
from shared.background import Background
from shared.db import Database, is_outage
from shared.panels import panel_route
from shared.probes import metrics

SERVICE = "worker"


@asynccontextmanager
async def working(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """Everything beside the requests. What is in hand at the end is finished before the database closes."""
    hints = Hints()
    async with Mailer.open(settings) as mailer, Database.open(settings) as db, Background() as background:
        jobs = every_job(settings, mailer)
        ledger = Ledger(db, hints.on_done, settings.keep_done_s)
        consumers = Consumers(settings, ledger, jobs, hints, app.state.checks.say_stuck)
        sweeper = Sweeper(db, ledger, jobs, settings.sweep_interval_s, settings.shutdown_grace_s)
        background.start("hints", hints.run())
        background.start("consumers", consumers.run())
        background.start("sweeper", sweeper.run())
        background.start("queue gauges", measure_queues(settings.rabbitmq_url))
        background.start("ledger gauges", measure_ledger(db))
        background.start("purge", purge(db, settings.keep_done_s, settings.purge_interval_s))
        background.start("mailer", mailer.run())
        app.state.db, app.state.background, app.state.hints = db, background, hints
        app.state.checks.needed |= {"postgres": db.ping, "rabbitmq": consumers.check}
        app.state.checks.useful["smtp"] = mailer.ping
        yield


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; settings come from the environment unless given."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with working(app, settings):
            yield

    async def analytics(user_ids: Sequence[UUID], seconds: float) -> Mapping[UUID, str]:
        return await panels.analytics(app.state.db, user_ids, seconds)

    async def notifications(user_ids: Sequence[UUID], seconds: float) -> Mapping[UUID, str]:
        return await panels.notifications(app.state.db, user_ids, seconds)

    app = web.create_app(
        SERVICE,
        settings,
        lifespan=lifespan,
        routes=[
            router,
            admin,
            metrics,
            panel_route("analytics", analytics),
            panel_route("notifications", notifications),
        ],
        is_outage=is_outage,
    )
    return app


def run() -> None:
    """Serve and work until SIGTERM."""
    settings = Settings()
    serve.run(SERVICE, create_app(settings), settings)
