"""Real Postgres, Redis and RabbitMQ for tests: in containers, or as private servers on this machine."""

from tests.support.backends.choice import choose
from tests.support.backends.interface import Backend, Backends, PostgresBackend, RabbitBackend, RedisBackend

__all__ = ["Backend", "Backends", "PostgresBackend", "RabbitBackend", "RedisBackend", "choose"]
