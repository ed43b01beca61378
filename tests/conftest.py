"""Backends for the whole session: nothing is started before a test asks for it."""

import gc
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path, PurePath

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.support import garbage
from tests.support.backends import Backends, PostgresBackend, RabbitBackend, RedisBackend, choose
from tests.support.backends.databases import NewDatabase
from tests.support.backends.smtp import SmtpServer
from tests.support.logs import plain_tracebacks

_BACKENDS = ("postgres", "redis", "rabbitmq")

hypothesis.settings.register_profile("busy", deadline=None)  # how long an example takes is the machine's affair
hypothesis.settings.load_profile("busy")
plain_tracebacks()
gc.set_threshold(50_000, 20, 50)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests live to the end. A tenth of the processor time went into looking at them again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        garbage.collect()


_ONE_STACK = ("tests/e2e/page", "tests/e2e/system")
_ALONE = "tests/e2e/tutorials"
_TOGETHER = "tests/unit/deploy"


class OneStackOneProcess(LoadScopeScheduling):  # type: ignore[misc]  # xdist tells no types
    """With `-n`, one process runs each file. The tests of a folder of `tests/e2e` share a stack, as do those of the
    folders in `_ONE_STACK`, so one process runs them all; so it does those in `_TOGETHER`, which build the same
    manifests. Those in `_ALONE` share nothing, and take long."""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePath(nodeid.partition("::")[0])
        folder = path.parent
        if str(folder) in _ONE_STACK:
            return "stack"
        if str(folder) == _ALONE:
            return nodeid
        return str(folder if folder.parent.name == "e2e" or str(folder) == _TOGETHER else path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneStackOneProcess:
    return OneStackOneProcess(config, log)


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


@pytest.fixture(scope="session")
def new_database(postgres: PostgresBackend) -> Iterator[NewDatabase]:
    """`new_database("orders")` is the URL of an empty database with the tables of that service."""
    with closing(NewDatabase(postgres)) as made:
        yield made


@pytest.fixture
def servers_folder() -> Iterator[Path]:
    """Provide a folder for servers of the test's own. Under `tmp_path`, the user of Postgres would lose access when
    another pytest starts: each pytest closes the folder above to others."""
    with tempfile.TemporaryDirectory(prefix="dashboard-test-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    server = SmtpServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
