"""One system for all tests in this folder, and one process that explores it."""

import multiprocessing
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.e2e.openapi.system import System, running
from tests.support.backends import Backends


@pytest.fixture(scope="package")
async def system(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running(backends, tmp_path_factory.mktemp("uploads")) as started:
        yield started


@pytest.fixture(scope="package")
def explorer() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool
