"""The policies of all jobs of the worker, those of feature slices included."""

from importlib import import_module

from services.worker.email.smtp import Mailer
from services.worker.ledger.job import Policy
from services.worker.main import FEATURES, jobs_of
from services.worker.recipients import job as recipients
from services.worker.settings import DEFAULTS, Settings
from shared.contracts import topology


def policies(settings: Settings) -> dict[str, Policy]:
    jobs = jobs_of(settings, DEFAULTS, Mailer(settings))
    known = {job.name: job.policy for job in (*jobs, recipients.job(jobs))}
    return known | {
        name: import_module(f"services.worker.{name}.job").POLICY for name in FEATURES if name in topology.JOBS
    }
