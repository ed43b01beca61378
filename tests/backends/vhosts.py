"""Virtual hosts of a broker that tests share, for those whose messages nobody else may take."""

from urllib.parse import urlsplit
from uuid import uuid4

from tests.backends.interface import RabbitBackend


def add_vhost(rabbitmq: RabbitBackend, prefix: str) -> tuple[str, str]:
    """The name and the URL of a new one, empty and without policies."""
    name = f"{prefix}_{uuid4().hex[:12]}"
    parts = urlsplit(rabbitmq.url)
    rabbitmq.rabbitmqctl("add_vhost", name)
    rabbitmq.rabbitmqctl("set_permissions", "-p", name, parts.username or "guest", ".*", ".*", ".*")
    return name, parts._replace(path=f"/{name}").geturl()
