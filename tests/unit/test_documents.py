"""Every service generates its OpenAPI document from its routes alone."""

from typing import Any

import pytest
from fastapi import FastAPI

from services.orders import main as orders
from services.orders.settings import Settings as OrdersSettings
from services.users import main as users
from services.users.settings import Settings as UsersSettings
from services.worker import main as worker
from services.worker.settings import Settings as WorkerSettings

ENVIRONMENT: dict[str, Any] = {
    "environment": "development",
    "database_url": "postgresql://nobody@127.0.0.1:1/none",
    "rabbitmq_url": "amqp://127.0.0.1:1/",
}
APPS = {
    "users": users.create_app(UsersSettings(**ENVIRONMENT)),
    "orders": orders.create_app(OrdersSettings(**ENVIRONMENT)),
    "worker": worker.create_app(WorkerSettings(**ENVIRONMENT)),
}


@pytest.mark.parametrize("app", APPS.values(), ids=APPS)
def test_a_service_describes_all_that_it_answers(app: FastAPI) -> None:
    """A route that cannot be described would make the whole document fail with a 500."""
    described = app.openapi()["paths"]
    public = {path for path in described if path.startswith("/v1/")}
    assert public
    for path in public:
        assert all(operation["responses"] for operation in described[path].values())
