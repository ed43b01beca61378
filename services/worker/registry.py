"""The list of jobs: one file each, with its policy."""

from collections.abc import Callable

from services.worker.analytics import job as analytics
from services.worker.email import job as email
from services.worker.email.smtp import Mailer
from services.worker.imports import job as imports
from services.worker.ledger.job import Job
from services.worker.notifications import job as notifications
from services.worker.recipients import job as recipients
from services.worker.settings import Settings
from services.worker.tuning import Tuning
from services.worker.webhooks import job as webhooks


def every_job(settings: Settings, tuning: Tuning, mailer: Mailer, wake_importer: Callable[[], None]) -> tuple[Job, ...]:
    others = (
        email.job(settings, tuning, mailer),
        analytics.job(),
        notifications.job(),
        imports.job(wake_importer),
        webhooks.job(),
    )
    return recipients.job(others), *others
