"""Timeouts of a worker in this process that no machine is too busy for, and mails that are soon tried again.

A test of a timeout sets the one that it is about to a short time of its own.
"""

from importlib import import_module

import pytest

from services.worker.broker import message_processor, rabbitmq
from services.worker.broker.consumers import Consumers
from services.worker.ledger import external_effects, retries
from services.worker.main import FEATURES
from shared.db import engine
from shared.observability import probes
from tests.support.worker.jobs import patch_policy
from tests.support.worker.world import LONG_S

CANCELLING = {"imports": "importer", "webhooks": "dispatcher"}
"""Modules of feature slices that cancel work in flight."""


def be_patient(patch: pytest.MonkeyPatch) -> None:
    slices = [
        import_module(f"services.worker.{name}.{module}") for name, module in CANCELLING.items() if name in FEATURES
    ]
    for each in (message_processor, retries, *slices):
        patch.setattr(each, "CANCEL_S", LONG_S)
    for module, name in (
        (rabbitmq, "CONNECT_TIMEOUT_S"),
        (rabbitmq, "DECLARE_TIMEOUT_S"),
        (engine, "CONNECT_TIMEOUT_S"),
        (external_effects, "INTERRUPTED_SETTLE_S"),
        (probes, "CHECK_TIMEOUT_S"),
    ):
        patch.setattr(module, name, LONG_S)
    patch.setattr(Consumers, "LOOK_TIMEOUT_S", 10.0)  # a look that is under way when a broker goes away takes as long
    patch_policy(patch, "email", backoff_base_s=0.2)
