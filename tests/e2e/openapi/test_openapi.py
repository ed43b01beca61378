"""The services conform to their OpenAPI documents, for any input and any role."""

import asyncio
import os
from concurrent.futures import ProcessPoolExecutor

import httpx
import pytest

from shared.contracts.imports import BATCH_PATH
from tests.e2e.openapi.explore import explore
from tests.e2e.openapi.system import NAMES, PATIENCE_S, Name, System

FEW, MANY = 3, int(os.environ.get("FUZZ_EXAMPLES", "300"))
"""The number of examples of valid input for each operation, and of invalid input."""
pytestmark = pytest.mark.full

INSIDE = ("/metrics", "/internal/", "/internal/panels/user", "/internal/reports/orders", BATCH_PATH)
ODD_WAYS = ("//internal/panels/user", "/v1/%2e%2e/internal/panels/user", "/v1/users/../../metrics")


@pytest.mark.parametrize(
    ("name", "examples"),
    [
        *(pytest.param(name, FEW, id=f"{name}-few") for name in NAMES),
        *(pytest.param(name, MANY, id=f"{name}-many", marks=pytest.mark.long) for name in NAMES),
    ],
)
async def test_a_service_keeps_to_its_document(
    system: System, explorer: ProcessPoolExecutor, name: Name, examples: int
) -> None:
    """There is no 5xx. Status, content type, headers and body of every response are as described. Errors are
    problems."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(explorer, explore, system.services[name], system.things, examples)
    print(f"\n{name}: {found}")  # noqa: T201  `pytest -s` shows what was tried
    assert not found.broken, "\n\n".join(f"{wrong}\n{example}" for wrong, example in found.broken.items())


@pytest.mark.parametrize("path", [*INSIDE, *ODD_WAYS])
async def test_what_is_internal_is_not_to_be_had_through_the_gateway(system: System, path: str) -> None:
    """Not even an administrator can reach internal paths, however they are spelled: there is no such route."""
    gateway = system.services["gateway"]
    async with httpx.AsyncClient(
        base_url=gateway.url, headers=gateway.credentials["admin"].headers(), timeout=PATIENCE_S
    ) as http:
        for method in ("GET", "POST", "HEAD", "OPTIONS"):
            target = httpx.URL(gateway.url).copy_with(raw_path=path.encode())
            answer = await http.request(method, target)
            assert answer.status_code == 404, method
