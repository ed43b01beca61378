"""The same servers from their official images, with testcontainers, on ports that stay the same after a restart."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer, Reaper

from tests.support.backends.databases import create_database, drop_database
from tests.support.backends.lazy import LazyBackends
from tests.support.backends.rabbit import RabbitControl
from tests.support.waiting import wait_until
from tools.devstack.servers.rabbitmq import answers_amqp, definitions_text
from tools.devstack.servers.valkey import answers_ping
from tools.devstack.system.databases import can_connect
from tools.devstack.system.ports import free_port

POSTGRES_IMAGE = "postgres:17-alpine"
REDIS_IMAGE = "redis:8-alpine"
RABBITMQ_IMAGE = "rabbitmq:4-management-alpine"
IMAGES = (POSTGRES_IMAGE, REDIS_IMAGE, RABBITMQ_IMAGE)


AnyContainer = TypeVar("AnyContainer", bound="ContainerBackend")


class ContainerBackend:
    """One container: created at the first start, then stopped and started again."""

    def __init__(self, container: DockerContainer, port: int, ready: Callable[[], bool]) -> None:
        self.port = free_port()
        self._container = container.with_bind_ports(port, self.port)
        self._ready = ready
        self._made = False

    def start(self) -> None:
        if self._made:
            self._wrapped.start()
        else:
            self._container.start()
            self._made = True
        wait_until(self._ready, within=90)

    def stop(self) -> None:
        self._wrapped.stop(timeout=10)

    def kill(self) -> None:
        self._wrapped.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def remove(self) -> None:
        self._container.stop()

    @property
    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container()


class ContainerPostgres(ContainerBackend):
    def __init__(self) -> None:
        container = DockerContainer(POSTGRES_IMAGE).with_envs(POSTGRES_HOST_AUTH_METHOD="trust")
        container.with_command("postgres -c fsync=off -c full_page_writes=off -c max_connections=200")
        super().__init__(container, 5432, lambda: can_connect(self.url))

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def create_database(self, name: str, template: str | None = None) -> str:
        return create_database(self.url, name, template)

    def drop_database(self, name: str) -> None:
        drop_database(self.url, name)


class ContainerRedis(ContainerBackend):
    def __init__(self) -> None:
        container = DockerContainer(REDIS_IMAGE).with_command("redis-server --save '' --appendonly yes")
        super().__init__(container, 6379, lambda: answers_ping(self.port))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class ContainerRabbit(RabbitControl, ContainerBackend):
    def __init__(self) -> None:
        container = DockerContainer(RABBITMQ_IMAGE)
        super().__init__(container, 5672, lambda: answers_amqp(self.port))

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        first = not self._made
        super().start()
        if first:
            self._container.copy_into_container(definitions_text("guest", "guest").encode(), "/tmp/definitions.json")
            self.rabbitmqctl("import_definitions", "/tmp/definitions.json")

    def rabbitmqctl(self, *arguments: str) -> str:
        done = self._container.exec(["rabbitmqctl", "--quiet", *arguments])
        output = done.output.decode()
        assert done.exit_code == 0, f"rabbitmqctl {' '.join(arguments)}: {output}"
        return output


class ContainerBackends(LazyBackends[ContainerPostgres, ContainerRedis, ContainerRabbit]):
    kind = "docker"

    def __init__(self) -> None:
        self._all: list[ContainerBackend] = []
        if not testcontainers_config.ryuk_disabled:
            Reaper.get_instance()  # now, because containers that start together would each create one
        super().__init__(
            lambda: self._keep(ContainerPostgres()),
            lambda: self._keep(ContainerRedis()),
            lambda: self._keep(ContainerRabbit()),
        )

    def close(self) -> None:
        super().close()
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda backend: backend.remove(), self._all))

    def _keep(self, backend: AnyContainer) -> AnyContainer:
        self._all.append(backend)
        return backend
