"""A worker as a process of its own, to be killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from services.worker.settings import Settings
from tests.support.tuned_service import command, tuning_in
from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S, SECRET
from tools.devstack.system.ports import free_port

PASSED_ON = (
    *("smtp_url", "rabbitmq_url", "database_url", "orders_url", "storage_url"),
    "webhook_allowed_networks",
)


class WorkerProcess:
    """`wrapper` is the beginning of its command line."""

    def __init__(self, settings: Settings, log: Path, wrapper: Sequence[str] = ()) -> None:
        self.port = free_port()
        given = {f"WORKER_{name.upper()}": str(value) for name, value in settings if name in PASSED_ON}
        fixed = {
            "ENVIRONMENT": "development",
            "INTERNAL_TOKEN_SECRET": SECRET.get_secret_value(),
            "WORKER_PORT": str(self.port),
            "SHUTDOWN_GRACE_S": str(settings.shutdown_grace_s),
        }
        self._environment = os.environ | fixed | given
        self._log = log
        self._command = [*wrapper, *command("worker", tuning_in(settings))]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, stdout=log, stderr=log
            )

    async def until_ready(self) -> None:
        async def ready() -> bool:
            try:
                async with httpx.AsyncClient() as http:
                    return (await http.get(f"http://127.0.0.1:{self.port}/readyz", timeout=LONG_S)).status_code == 200
            except httpx.HTTPError:
                return False

        await eventually(ready, LONG_S)

    async def end(self, number: signal.Signals, within: float = LONG_S) -> int:
        """Its exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(within):
            return await self._process.wait()


@asynccontextmanager
async def worker_process(settings: Settings, log: Path, wrapper: Sequence[str] = ()) -> AsyncIterator[WorkerProcess]:
    worker = WorkerProcess(settings, log, wrapper)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.end(signal.SIGKILL)
