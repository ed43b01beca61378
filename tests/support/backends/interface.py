"""What a test may ask of its backends. Every call blocks: inside a running loop, `asyncio.to_thread` it."""

from typing import Protocol


class Backend(Protocol):
    """Reachable at the same address before and after stop, kill and start, with its data."""

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None:
        """SIGKILL: no shutdown of its own."""

    def restart(self) -> None: ...


class PostgresBackend(Backend, Protocol):
    """`url` is the superuser's."""

    def create_database(self, name: str, template: str | None = None) -> str:
        """Its URL, for the superuser. A template must have no connections."""

    def drop_database(self, name: str) -> None: ...


class RedisBackend(Backend, Protocol): ...


class RabbitBackend(Backend, Protocol):
    """With the policy of deploy/rabbitmq/definitions.json on the vhost `/`."""

    def rabbitmqctl(self, *arguments: str) -> str: ...

    def connections(self) -> list[str]:
        """The Erlang pids of all client connections."""

    def close_connections(self, reason: str = "closed by a test") -> None: ...

    def delete_queues(self) -> None:
        """All of the vhost `/`, under whoever consumes them."""

    def reset(self) -> None:
        """Delete every queue and every exchange but the built-in ones."""


class Backends(Protocol):
    """Each is started at its first use, and stays until the end of the session."""

    @property
    def kind(self) -> str: ...

    @property
    def postgres(self) -> PostgresBackend: ...

    @property
    def redis(self) -> RedisBackend: ...

    @property
    def rabbitmq(self) -> RabbitBackend: ...

    def begin(self, *names: str) -> None:
        """Start these at the same time, in the background."""

    def close(self) -> None: ...
