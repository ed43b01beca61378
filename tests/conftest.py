"""Backends for the whole session: nothing is started before a test asks for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import Backends, PostgresBackend, RabbitBackend, RedisBackend, choose
from tests.backends.smtp import SmtpServer

_BACKENDS = ("postgres", "redis", "rabbitmq")
_TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several processes (`-n 2`) share the tests out by file; those of one stack stay together."""
    for item in items:
        folder = item.path.parent
        shared = "stack" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group(str((folder if shared else item.path).relative_to(_TESTS))))


@pytest.fixture(scope="session")
def backends(request: pytest.FixtureRequest) -> Iterator[Backends]:
    """All that the collected tests name, started at the same time; the rest at first use."""
    chosen = choose()
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    chosen.begin(*(name for name in _BACKENDS if name in wanted))
    try:
        yield chosen
    finally:
        chosen.close()


@pytest.fixture(scope="session")
def postgres(backends: Backends) -> PostgresBackend:
    return backends.postgres


@pytest.fixture(scope="session")
def redis(backends: Backends) -> RedisBackend:
    return backends.redis


@pytest.fixture(scope="session")
def rabbitmq(backends: Backends) -> RabbitBackend:
    return backends.rabbitmq


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    server = SmtpServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
