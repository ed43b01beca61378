"""All services with a database."""

import pytest

from tests.support.services.description import Service
from tests.support.services.orders import ORDERS
from tests.support.services.users import USERS
from tests.support.services.worker import WORKER

EVERY: tuple[Service, ...] = (USERS, ORDERS, WORKER)
PRODUCERS = tuple(service for service in EVERY if not service.needs_broker)

each = pytest.mark.parametrize("service", EVERY, ids=str)
each_in_full = pytest.mark.parametrize(
    "service", [ORDERS, *(pytest.param(service, marks=pytest.mark.full) for service in (USERS, WORKER))], ids=str
)
"""One service in `make test`, all in `make full`: for what shared code does, and takes seconds to test."""
each_producer = pytest.mark.parametrize("service", PRODUCERS, ids=str)
