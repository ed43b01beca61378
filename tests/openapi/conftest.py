"""One system for all tests here, and one process that explores it."""

import multiprocessing
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest
import structlog

from tests.openapi.system import System, running
from tests.support.backends import Backends


@pytest.fixture(scope="package", autouse=True)
def plain_logs() -> Iterator[None]:
    """structlog's own default draws each traceback with all its variables, which takes seconds."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="package")
async def system(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running(backends, tmp_path_factory.mktemp("uploads")) as started:
        yield started


@pytest.fixture(scope="package")
def explorer() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool
