"""A service as a process of its own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr

from shared.config.settings import variable_of
from shared.feature import settings_of
from tests.support import tuned_service
from tests.support.services.description import Service
from tests.support.waiting import eventually
from tools.devstack.system.ports import free_port

PASSED_ON = (
    "environment",
    "internal_token_secret",
    "database_url",
    "rabbitmq_url",
    "smtp_url",
    "storage_url",
)
END_WITHIN_S = 60


@asynccontextmanager
async def service_process(
    service: Service, database_url: str, rabbitmq_url: str, log: Path, wrapper: Sequence[str] = ()
) -> AsyncIterator[str]:
    """Its address, once it is ready. `wrapper` is the beginning of its command line."""
    settings, port = service.settings(database_url, rabbitmq_url), free_port()
    given = {variable_of(type(settings), "port"): str(port)}
    kinds = {name: kind for kind in settings_of(f"services.{service.name}") for name in kind.model_fields}
    for name, value in settings:
        if name in PASSED_ON:
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            given[variable_of(kinds[name], name)] = text
    command = [*wrapper, *tuned_service.command(service.name, tuned_service.tuning_in(settings))]
    with log.open("a") as out:
        process = await asyncio.create_subprocess_exec(*command, env=os.environ | given, stdout=out, stderr=out)
    try:
        await eventually(lambda: is_ready(port), 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(END_WITHIN_S):
            await process.wait()


async def is_ready(port: int) -> bool:
    try:
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"http://127.0.0.1:{port}/readyz", timeout=30)
    except httpx.HTTPError:
        return False
    checks = answer.json()["checks"]
    return all(outcome == "ok" for name, outcome in checks.items() if name != "smtp")
