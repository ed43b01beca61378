"""All services with a database."""

import pytest

from tests.support.services.description import Service
from tests.support.services.orders import ORDERS
from tests.support.services.users import USERS
from tests.support.services.worker import WORKER

EVERY: tuple[Service, ...] = (USERS, ORDERS, WORKER)
PRODUCERS = tuple(service for service in EVERY if not service.needs_broker)

each = pytest.mark.parametrize("service", EVERY, ids=str)
each_producer = pytest.mark.parametrize("service", PRODUCERS, ids=str)
