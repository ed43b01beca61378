"""The interface of the backends. Every call blocks: in a running loop, use `asyncio.to_thread`."""

from typing import Protocol


class Backend(Protocol):
    """A server with the same address and data before and after stop, kill and start."""

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None:
        """Send SIGKILL, so that it cannot shut down."""

    def restart(self) -> None: ...


class PostgresBackend(Backend, Protocol):
    """`url` is the superuser's."""

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, and return its URL for the superuser. A template must have no connections."""

    def drop_database(self, name: str) -> None: ...


class RedisBackend(Backend, Protocol): ...


class RabbitBackend(Backend, Protocol):
    """A RabbitMQ with the policy of deploy/rabbitmq/definitions.json on the vhost `/`."""

    def rabbitmqctl(self, *arguments: str) -> str: ...

    def connections(self) -> list[str]:
        """Return the Erlang pids of all client connections."""

    def close_connections(self, reason: str = "closed by a test") -> None: ...

    def delete_queues(self) -> None:
        """Delete all queues of the vhost `/`, even if they have consumers."""

    def reset(self) -> None:
        """Delete every queue, and every exchange except the built-in ones."""


class Backends(Protocol):
    """The backends. Each starts at its first use, and runs until the end of the session."""

    @property
    def kind(self) -> str: ...

    @property
    def postgres(self) -> PostgresBackend: ...

    @property
    def redis(self) -> RedisBackend: ...

    @property
    def rabbitmq(self) -> RabbitBackend: ...

    def begin(self, *names: str) -> None:
        """Start these concurrently, in the background."""

    def close(self) -> None: ...
