"""The jobs: one file each, with its policy beside it."""

from services.worker.job import Job
from services.worker.jobs import analytics, email, notifications, recipients, webhooks
from services.worker.settings import Settings
from services.worker.smtp import Mailer


def every_job(settings: Settings, mailer: Mailer) -> tuple[Job, ...]:
    others = email.job(settings, mailer), analytics.job(), notifications.job(), webhooks.job()
    return recipients.job(others), *others
