"""One system for all tests here."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.backends import Backends
from tests.openapi.system import System, running


@pytest.fixture(scope="package", autouse=True)
def plain_logs() -> Iterator[None]:
    """structlog's own default draws each traceback with all its variables, which takes seconds."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="package")
async def system(
    plain_logs: None, backends: Backends, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    uploads: Path = tmp_path_factory.mktemp("uploads")
    async with running(backends, uploads) as started:
        yield started
