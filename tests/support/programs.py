"""Programs that a test starts, kills and starts again."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.support import tuned_service
from tests.support.waiting import eventually
from tools.devstack.system.ports import free_port

END_WITHIN_S = 60.0
QUICK = {"sweep_interval_s": 0.2, "reconnect_s": 0.2, "mail_lease_s": 10}


class Program:
    """A command that serves HTTP; `ready` is a URL that answers 200 once it does."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, ready: str) -> None:
        self._command = command
        self._environment = os.environ | environment
        self._log = log
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, stdout=log, stderr=log
            )

    async def until_ready(self, within: float = 180) -> None:
        """Fails with the log if the program has ended."""

        async def ready() -> bool:
            assert self._process is not None
            assert self._process.returncode is None, self._log.read_text()[-4000:]
            try:
                async with httpx.AsyncClient() as http:
                    return (await http.get(self._ready, timeout=30)).status_code == 200
            except httpx.HTTPError:
                return False

        await eventually(ready, within)

    async def kill(self) -> None:
        """With SIGKILL, unless it has ended."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(END_WITHIN_S):
            await self._process.wait()


@asynccontextmanager
async def running(*programs: Program) -> AsyncIterator[None]:
    """Run them within the block, and kill them at its end."""
    try:
        for program in programs:
            await program.start()
        for program in programs:
            await program.until_ready()
        yield
    finally:
        for program in programs:
            await program.kill()


def worker_with(
    jobs: str, *, database_url: str, rabbitmq_url: str, smtp_url: str, more: Mapping[str, str], folder: Path
) -> Program:
    """The worker with the jobs of another application. `more` is that application's environment."""
    port = free_port()
    given = {
        "ENVIRONMENT": "development",
        "WORKER_PORT": str(port),
        "WORKER_DATABASE_URL": database_url,
        "WORKER_RABBITMQ_URL": rabbitmq_url,
        "WORKER_SMTP_URL": smtp_url,
        "WORKER_STORAGE_URL": folder.as_uri(),
        "WORKER_JOBS": jobs,
    }
    command = tuned_service.command("worker", QUICK)
    return Program(command, {**given, **more}, folder / "worker.log", f"http://127.0.0.1:{port}/readyz")


def application(name: str, port: int, environment: Mapping[str, str], folder: Path) -> Program:
    """A FastAPI application, such as `shop.app:app`, served by uvicorn."""
    command = [sys.executable, "-m", "uvicorn", name, "--port", str(port), "--log-level", "warning"]
    return Program(command, environment, folder / "app.log", f"http://127.0.0.1:{port}/openapi.json")
