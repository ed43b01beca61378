"""The worker: processes events, and serves the results. The HTTP side works while RabbitMQ is down."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from uuid import UUID

from fastapi import FastAPI

from services.worker import panels, personal_data
from services.worker.analytics import job as analytics
from services.worker.broker import queue_stats
from services.worker.broker.consumers import Consumers
from services.worker.email import job as email
from services.worker.email.smtp import Mailer
from services.worker.imports import job as import_job
from services.worker.imports.importer import Importer
from services.worker.imports.orders import Orders
from services.worker.imports.repository import delete_all_expired
from services.worker.imports.routes import router as imports
from services.worker.imports.storage import Storage
from services.worker.imports.upload import FORM_BYTES, Uploads
from services.worker.ledger.admin.routes import router as admin
from services.worker.ledger.job import Job
from services.worker.ledger.ledger import Ledger
from services.worker.ledger.pruner import purge
from services.worker.ledger.retries import Retries
from services.worker.live_hints import Hints
from services.worker.notifications import job as notifications
from services.worker.notifications.routes import router
from services.worker.recipients import job as recipients
from services.worker.reports import routes as report_routes
from services.worker.settings import DEFAULTS, Settings, Tuning
from services.worker.webhooks import deliveries
from services.worker.webhooks import job as webhook_job
from services.worker.webhooks.routes import router as webhook_routes
from services.worker.webhooks.wiring import Network, internet, webhooks
from shared.db.engine import Database, is_outage
from shared.downloads.csv_export import Exporter
from shared.downloads.personal_data import export_route
from shared.http import application
from shared.http.panel_fast_path import PanelsFastPath
from shared.http.panel_route import Panels
from shared.observability.probes import metrics
from shared.outbox.relay import Relay
from shared.server import serve
from shared.server.background import Background


def every_job(settings: Settings, tuning: Tuning, mailer: Mailer, wake_importer: Callable[[], None]) -> tuple[Job, ...]:
    others = (
        email.job(settings, tuning, mailer),
        analytics.job(),
        notifications.job(),
        import_job.job(wake_importer),
        webhook_job.job(),
    )
    return recipients.job(others), *others


SERVICE = "worker"
PANELS = Panels({"analytics": panels.analytics, "notifications": panels.notifications})

Internet = Callable[[Tuning], AbstractAsyncContextManager[Network]]


@asynccontextmanager
async def working(app: FastAPI, settings: Settings, tuning: Tuning, internet: Internet) -> AsyncIterator[None]:
    """All background tasks. In-flight work is finished before the database closes."""
    hints = Hints()
    keep = (settings.keep_done_s, deliveries.KEEP_S)

    def on_done(job: Job, user_id: UUID) -> None:
        hints.on_done(job, user_id)
        if job.name == deliveries.JOB:
            dispatcher.wake()

    def on_turned_off(user_id: UUID) -> None:
        hints.changed(user_id, ["notifications"])

    async with (
        Mailer.open(settings, tuning) as mailer,
        Orders.open(settings.orders_url, app.state.service_tokens, tuning.import_orders_timeout_s) as orders,
        internet(tuning) as network,
        Database.open(settings) as db,
    ):
        ledger = Ledger(db, on_done, settings.keep_done_s)
        async with (
            webhooks(settings, tuning, db, ledger, network, on_turned_off) as running,
            Background() as background,
        ):
            app.state.webhooks, dispatcher = running
            storage = Storage(settings.storage_url)
            importer = Importer(db, storage, orders, hints, settings, tuning)
            jobs = every_job(settings, tuning, mailer, importer.wake)
            consumers = Consumers(settings, tuning, ledger, jobs, hints, app.state.checks.say_stuck)
            sweeper = Retries(db, ledger, jobs, settings.shutdown_grace_s)
            relay = Relay(db, settings.rabbitmq_url, SERVICE)
            background.start("relay", relay.run)
            background.every(relay.MEASURE_S, "outbox gauges", relay.measure)
            background.start("hints", hints.run)
            background.start("consumers", consumers.run)
            background.every(tuning.sweep_interval_s, "sweeper", sweeper.sweep)
            background.start("webhooks", dispatcher.run)
            background.start("queue gauges", partial(queue_stats.measure_queues, settings.rabbitmq_url))
            background.every(queue_stats.EVERY_S, "ledger gauges", partial(queue_stats.measure_ledger, db))
            background.every(tuning.purge_interval_s, "purge", partial(purge, db, *keep))
            background.every(tuning.purge_interval_s, "expired imports", partial(delete_all_expired, db, storage))
            background.start("mailer", mailer.run)
            background.start("importer", importer.run)
            app.state.db, app.state.background, app.state.hints = db, background, hints
            app.state.uploads = Uploads(db, storage, settings.import_max_bytes)
            app.state.exporter = Exporter(settings)
            app.state.checks.needed |= {"postgres": db.ping, "rabbitmq": consumers.check}
            app.state.checks.useful |= {"smtp": mailer.ping, "storage": storage.check}
            app.state.checks.useful |= {"outbox": relay.check, "background": background.check}
            yield


def create_app(settings: Settings | None = None, tuning: Tuning = DEFAULTS, internet: Internet = internet) -> FastAPI:
    """Create the application; settings come from the environment unless given. `internet` is the network for
    webhooks."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with working(app, settings, tuning, internet):
            yield

    app = application.create_app(
        SERVICE,
        settings,
        lifespan=lifespan,
        routes=[
            router,
            webhook_routes,
            admin,
            imports,
            report_routes.router,
            report_routes.internal,
            export_route(personal_data.PARTS),
            metrics,
            *PANELS.routes(),
        ],
        is_outage=is_outage,
        body_limits={imports.prefix: settings.import_max_bytes + FORM_BYTES},
    )
    app.fast_path = PanelsFastPath(app.state, PANELS)
    return app


def run(tuning: Tuning = DEFAULTS) -> None:
    """Serve and work until SIGTERM."""
    settings = Settings()
    serve.run(SERVICE, create_app(settings, tuning), settings)
