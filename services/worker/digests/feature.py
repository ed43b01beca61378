"""The weekly digest as a feature of the worker. Its jobs are found by the name of their module."""

from services.worker.digests import models  # noqa: F401  so that exports and deletions of users know its table
from services.worker.host import Host
from services.worker.settings import Settings, Tuning
from shared.feature import Feature


def feature(_settings: Settings, _tuning: Tuning) -> Feature[Host]:
    return Feature()
