"""The public API's OpenAPI document, made from the code alone: nothing runs."""

from typing import Any

from fastapi import FastAPI

from services.gateway import main as gateway
from services.gateway.panels import Service
from services.gateway.settings import Settings as GatewaySettings
from services.orders import main as orders
from services.orders.settings import Settings as OrdersSettings
from services.users import main as users
from services.users.settings import Settings as UsersSettings
from services.worker import main as worker
from services.worker.settings import Settings as WorkerSettings

NOWHERE: dict[str, Any] = {
    "environment": "development",
    "database_url": "postgresql://nobody@127.0.0.1:1/none",
    "rabbitmq_url": "amqp://127.0.0.1:1/",
}


def services() -> dict[Service, FastAPI]:
    return {
        "users": users.create_app(UsersSettings(**NOWHERE)),
        "orders": orders.create_app(OrdersSettings(**NOWHERE)),
        "worker": worker.create_app(WorkerSettings(**NOWHERE)),
    }


def openapi() -> dict[str, Any]:
    """As a gateway serves it that reaches all services."""
    documents = {name: app.openapi() for name, app in services().items()}
    own = FastAPI.openapi(gateway.create_app(GatewaySettings(environment="development")))
    return gateway.whole_api(own, documents)
