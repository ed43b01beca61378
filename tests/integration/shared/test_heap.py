"""A service that runs leaves its heap to the garbage collector as `shared.server.garbage` has it."""

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.support.waiting import wait_until
from tools.devstack.system.ports import accepts, free_port


@pytest.fixture(scope="module")
def service() -> Iterator[httpx.Client]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.support.heap_service", str(port)]) as process:
        wait_until(lambda: accepts(port))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            yield client
        process.terminate()


def test_what_the_application_built_is_frozen(service: httpx.Client) -> None:
    """Nobody looks at it again."""
    assert service.get("/built").json() is False


def test_a_running_service_frees_old_garbage_when_it_is_idle(service: httpx.Client) -> None:
    """Though the collector's thresholds are far away."""
    service.post("/garbage").raise_for_status()
    wait_until(lambda: service.get("/garbage").json() is False)
