"""Backends that start at their first use, or several at once before."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from tests.support.backends.interface import Backend, PostgresBackend, RabbitBackend, RedisBackend

AnyBackend = TypeVar("AnyBackend", bound=Backend)
P = TypeVar("P", bound=PostgresBackend)
R = TypeVar("R", bound=RedisBackend)
Q = TypeVar("Q", bound=RabbitBackend)


class Lazy(Generic[AnyBackend]):
    def __init__(self, make: Callable[[], AnyBackend], pool: ThreadPoolExecutor) -> None:
        self._make = make
        self._pool = pool
        self._lock = threading.Lock()
        self._future: Future[AnyBackend] | None = None

    def begin(self) -> Future[AnyBackend]:
        with self._lock:
            if self._future is None:
                self._future = self._pool.submit(self._started)
            return self._future

    def get(self) -> AnyBackend:
        return self.begin().result()

    def _started(self) -> AnyBackend:
        backend = self._make()
        backend.start()
        return backend


class LazyBackends(Generic[P, R, Q]):
    def __init__(self, postgres: Callable[[], P], redis: Callable[[], R], rabbitmq: Callable[[], Q]) -> None:
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="backend")
        self._postgres = Lazy(postgres, self._pool)
        self._redis = Lazy(redis, self._pool)
        self._rabbitmq = Lazy(rabbitmq, self._pool)

    @property
    def postgres(self) -> P:
        return self._postgres.get()

    @property
    def redis(self) -> R:
        return self._redis.get()

    @property
    def rabbitmq(self) -> Q:
        return self._rabbitmq.get()

    def begin(self, *names: str) -> None:
        each: dict[str, Callable[[], object]] = {
            "postgres": self._postgres.begin,
            "redis": self._redis.begin,
            "rabbitmq": self._rabbitmq.begin,
        }
        for name in names:
            each[name]()

    def close(self) -> None:
        self._pool.shutdown()
