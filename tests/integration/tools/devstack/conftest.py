"""Private servers in a temporary folder, separate from the session's backends."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.devstack.servers.postgres import Postgres
from tools.devstack.servers.rabbitmq import find_scripts
from tools.devstack.system.processes import Processes


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Provide a folder other than pytest's, because the start of another pytest revokes access for the user of
    Postgres."""
    with tempfile.TemporaryDirectory(prefix="dashboard-test-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    made.close(grace=3)


@pytest.fixture(scope="module")
def postgres_server(folder: Path, processes: Processes) -> Iterator[Postgres]:
    server = Postgres(processes, folder / "postgres", folder / "postgres.log", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def needs_rabbitmq() -> None:
    if find_scripts() is None:
        pytest.skip("rabbitmq-server is not installed")
