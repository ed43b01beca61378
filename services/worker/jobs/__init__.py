"""The jobs: one file each, with its policy beside it."""

from collections.abc import Callable

from services.worker.job import Job
from services.worker.jobs import analytics, email, imports, notifications, recipients, webhooks
from services.worker.settings import Settings
from services.worker.smtp import Mailer


def every_job(settings: Settings, mailer: Mailer, wake_importer: Callable[[], None]) -> tuple[Job, ...]:
    others = (
        email.job(settings, mailer),
        analytics.job(),
        notifications.job(),
        imports.job(wake_importer),
        webhooks.job(),
    )
    return recipients.job(others), *others
