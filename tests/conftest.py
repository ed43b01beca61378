"""Backends for the whole session: nothing is started before a test asks for it."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.backends import Backends, PostgresBackend, RabbitBackend, RedisBackend, choose
from tests.backends.smtp import SmtpServer

_BACKENDS = ("postgres", "redis", "rabbitmq")
_TESTS = Path(__file__).parent

hypothesis.settings.register_profile("busy", deadline=None)  # how long an example takes is the machine's affair
hypothesis.settings.load_profile("busy")


class Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist tells no types
    """Several processes (`-n 2`) share the tests out by file; those of one stack stay together.

    Not by xdist's marks: pytest 9.2 tells ids that it cannot change any more.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        return str(path.parent if _shares_a_stack(path) else path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    return Together(config, log)


@cache
def _shares_a_stack(path: Path) -> bool:
    return "stack: Stack" in (_TESTS.parent / path).read_text()


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
