"""Timeouts of a worker in this process that no machine is too busy for, and mails that are soon tried again.

A test of a timeout sets the one that it is about to a short time of its own.
"""

from dataclasses import replace

import pytest

from services.worker import broker, external, intake, sweeper
from services.worker.consumers import Consumers
from services.worker.imports import importer
from services.worker.jobs import email
from services.worker.webhooks import dispatcher
from shared import db, probes
from tests.support.worker.world import LONG_S


def be_patient(patch: pytest.MonkeyPatch) -> None:
    for module in (intake, sweeper, importer, dispatcher):
        patch.setattr(module, "CANCEL_S", LONG_S)
    for module, name in (
        (broker, "CONNECT_TIMEOUT_S"),
        (broker, "DECLARE_TIMEOUT_S"),
        (db, "CONNECT_TIMEOUT_S"),
        (external, "INTERRUPTED_SETTLE_S"),
        (probes, "CHECK_TIMEOUT_S"),
    ):
        patch.setattr(module, name, LONG_S)
    patch.setattr(Consumers, "LOOK_TIMEOUT_S", 10.0)  # a look that is under way when a broker goes away takes as long
    patch.setattr(email, "POLICY", replace(email.POLICY, backoff_base_s=0.2))
