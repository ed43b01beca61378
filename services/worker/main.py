"""The worker: processes events, and serves the results. The HTTP side works while RabbitMQ is down."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from uuid import UUID

from fastapi import FastAPI

from services.worker import jobs, panels
from services.worker.broker import queue_stats
from services.worker.broker.consumers import Consumers
from services.worker.email.notification_settings import router as notification_settings
from services.worker.email.send_log import MailLimit
from services.worker.email.sending import Mails
from services.worker.email.smtp import Mailer
from services.worker.email.unsubscribe import UnsubscribeLinks
from services.worker.email.unsubscribe import router as unsubscribe
from services.worker.email.users import Users
from services.worker.host import Host
from services.worker.ledger import heartbeats
from services.worker.ledger.admin.routes import router as admin
from services.worker.ledger.heartbeats import Heartbeats, Work
from services.worker.ledger.history import History
from services.worker.ledger.job import Job
from services.worker.ledger.ledger import Ledger
from services.worker.ledger.retries import Retries
from services.worker.live_hints import Hints
from services.worker.models import Base
from services.worker.notifications.routes import router as notification_routes
from services.worker.settings import DEFAULTS, Settings, Tuning
from shared import feature
from shared.db.engine import Database, is_outage
from shared.downloads.csv_export import Exporter
from shared.downloads.personal_data import export_route
from shared.feature import Features
from shared.http import application
from shared.http.panel_fast_path import PanelsFastPath
from shared.http.panel_route import Panels
from shared.observability.probes import metrics
from shared.outbox.relay import Relay
from shared.server import serve
from shared.server.background import Background

SERVICE = "worker"
FEATURES: list[str] = [
    "digests",
    "imports",
    "reports",
    "webhooks",
]
"""The feature slices: folders of the worker that can be removed."""
PANELS = Panels({"analytics": panels.analytics, "notifications": panels.notifications})


@asynccontextmanager
async def working(
    app: FastAPI, settings: Settings, tuning: Tuning, features: Features[Host], declared: Mapping[str, jobs.Declared]
) -> AsyncIterator[None]:
    """All background tasks. In-flight work is finished before the database closes."""
    hints = Hints()
    on_done: list[Callable[[Job, UUID], None]] = [hints.on_done]

    def job_done(job: Job, user_id: UUID) -> None:
        for listener in on_done:
            listener(job, user_id)

    async with (
        Mailer.open(settings, tuning) as mailer,
        Users.open(settings.users_url, app.state.service_tokens) as users,
        Database.open(settings) as db,
        AsyncExitStack() as opened,
        Background() as background,
    ):
        ledger = Ledger(db, job_done, settings.keep_done_s)
        host = Host(app=app, db=db, ledger=ledger, hints=hints, background=background, on_done=on_done)
        secrets = settings.internal_token_secret.get_secret_value()
        links = app.state.unsubscribe_links = UnsubscribeLinks(settings.page or "", secrets)
        app.state.secret_files.follow("internal_token_secret", links.rotate)
        limit = MailLimit.parse(settings.mail_limit)
        mails = jobs.PerEvent(
            partial(Mails, mailer, settings.mail_from, tuning.mail_lease_s, links, users=users, limit=limit)
        )
        host.resources.update({Settings: settings, Tuning: tuning, Mailer: mailer, Mails: mails, Database: db})
        app.state.db, app.state.background, app.state.hints = db, background, hints
        app.state.exporter = Exporter(settings)
        await features.open(host, opened)
        host.resources.update(await jobs.open_resources(opened))
        bound = [jobs.bind(each, host.resources, settings) for each in declared.values()]
        app.state.jobs = {each.name: each for each in bound}
        app.state.ledger = ledger
        consumers = Consumers(settings, tuning, ledger, bound, hints, app.state.checks.say_stuck)
        retries = Retries(db, ledger, bound, settings.shutdown_grace_s, tuning.sweep_interval_s)
        relay = Relay(db, settings.rabbitmq_url, SERVICE)
        background.start("relay", relay.run)
        background.every(relay.MEASURE_S, "outbox gauges", relay.measure)
        background.start("hints", hints.run)
        background.start("consumers", consumers.run)
        background.start("sweeper", retries.run)
        background.start("queue gauges", partial(queue_stats.measure_queues, settings.rabbitmq_url, bound))
        background.every(queue_stats.EVERY_S, "ledger gauges", partial(queue_stats.measure_ledger, db, bound))
        background.start("mailer", mailer.run)
        history = History(db)
        opened.push_async_callback(history.leave)
        background.start("history", history.run)
        beating = Heartbeats(db, lambda: Work(ledger.in_progress(), consumers.consuming(), consumers.expected()))
        opened.push_async_callback(beating.leave)
        background.every(heartbeats.EVERY_S, "heartbeats", beating.beat)
        app.state.checks.needed |= {"postgres": db.ping, "rabbitmq": consumers.check}
        app.state.checks.useful |= {
            "public_url": settings.check_page,
            "smtp": mailer.ping,
            "outbox": relay.check,
            "background": background.check,
        }
        yield


def create_app(settings: Settings | None = None, tuning: Tuning = DEFAULTS) -> FastAPI:
    """Create the application; settings come from the environment unless given."""
    settings = settings or Settings()
    features = feature.load("services.worker", FEATURES, settings, tuning)
    declared = jobs.discover(filter(None, map(str.strip, settings.jobs.split(","))))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with working(app, settings, tuning, features, declared):
            yield

    app = application.create_app(
        SERVICE,
        settings,
        lifespan=lifespan,
        routes=[
            notification_routes,
            notification_settings,
            unsubscribe,
            admin,
            *features.routes,
            export_route(Base),
            metrics,
            *PANELS.routes(),
        ],
        is_outage=is_outage,
        body_limits=features.body_limits,
    )
    app.fast_path = PanelsFastPath(app.state, PANELS)
    return app


def run(tuning: Tuning = DEFAULTS) -> None:
    """Serve and work until SIGTERM."""
    settings = Settings()
    serve.run(SERVICE, create_app(settings, tuning), settings)
