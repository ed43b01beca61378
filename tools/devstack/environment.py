"""The settings of each process of the stack."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tools.devstack.plan import DATA_SERVICES, DRAIN_S, Planned


@dataclass(frozen=True)
class Addresses:
    """The URLs of the backing servers; `databases` by service. `smtputf8`: whether the mail server is known to offer
    it."""

    databases: Mapping[str, str]
    redis: str
    rabbitmq: str
    smtp: str
    storage: str
    traces: str
    smtputf8: bool = False


def shared_environment(addresses: Addresses, planned: Sequence[Planned], secrets: Mapping[str, str]) -> dict[str, str]:
    """The settings that all processes share. The user's own variables are the base."""
    urls = {name: [one.url for one in planned if one.name == name] for name in DATA_SERVICES}
    gateway = next(one.url for one in planned if one.name == "gateway")
    return {
        **os.environ,
        "ENVIRONMENT": "development",
        "INTERNAL_TOKEN_SECRET": secrets["INTERNAL_TOKEN_SECRET"],
        "USERS_SIGNING_KEYS": secrets["USERS_SIGNING_KEYS"],
        "WORKER_WEBHOOK_SECRET_KEYS": secrets["WORKER_WEBHOOK_SECRET_KEYS"],
        **{f"GATEWAY_{name.upper()}_URL": ",".join(urls[name]) for name in DATA_SERVICES},
        "GATEWAY_URL": gateway,
        "GATEWAY_JWKS_URL": ",".join(f"{url}/.well-known/jwks.json" for url in urls["users"]),
        "GATEWAY_REDIS_URL": addresses.redis,
        "GATEWAY_RABBITMQ_URL": addresses.rabbitmq,
        **{f"{name.upper()}_DATABASE_URL": addresses.databases[name] for name in DATA_SERVICES},
        **{f"{name.upper()}_RABBITMQ_URL": addresses.rabbitmq for name in DATA_SERVICES},
        "WORKER_ORDERS_URL": ",".join(urls["orders"]),
        "WORKER_SMTP_URL": addresses.smtp,
        **({"USERS_MAIL_SMTPUTF8": "true"} if addresses.smtputf8 else {}),
        "OTEL_EXPORTER_OTLP_ENDPOINT": addresses.traces,
        "TRACE_SAMPLE": os.environ.get("TRACE_SAMPLE", "1"),  # in development, people look at single requests
        "WORKER_STORAGE_URL": addresses.storage,
        "PYTHONUNBUFFERED": "1",
    }


def own_environment(one: Planned, planned: Sequence[Planned]) -> dict[str, str]:
    """The address of one process. Only a process with a replica drains, since another takes over from it."""
    own = {"LISTEN_HOST": "127.0.0.1", f"{one.name.upper()}_PORT": str(one.port)}
    if sum(other.name == one.name for other in planned) > 1:
        own["DRAIN_S"] = str(DRAIN_S)
    return own | ({"GATEWAY_INTERNAL_PORT": str(one.internal_port)} if one.name == "gateway" else {})
