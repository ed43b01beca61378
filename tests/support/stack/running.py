"""The whole stack as `dashboard up` starts it, and a client of it that behaves like a person's."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from services.local.mailbox import Mail, Mailbox
from services.local.ports import free_port
from tests.support.backends import Backends
from tests.support.waiting import wait_until

SERVICES = ("gateway", "users", "orders", "worker")
PASSWORD = "correct horse battery"


class Stack:
    """A running stack; `info` is what it says of itself in stack.json."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.log = log
        self.mailbox = Mailbox(folder / "mail.sqlite")

    @property
    def info(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads((self.folder / "stack.json").read_text())
        return known

    @property
    def url(self) -> str:
        return str(self.info["gateway"]["url"])

    def pids(self, name: str) -> list[int]:
        return [int(pid) for pid in self.info[name]["pids"]]

    def mails(self, to: str) -> list[Mail]:
        return self.mailbox.mails(to)

    def up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except (OSError, ValueError, KeyError, httpx.HTTPError):
            return False

    def recovered(self) -> bool:
        """Every service is ready, and misses nothing that would be useful either."""
        try:
            found = [httpx.get(f"{self.info[name]['url']}/readyz", timeout=5).json() for name in SERVICES]
        except (OSError, ValueError, KeyError, httpx.HTTPError):
            return False
        return all(answer["status"] == "ready" for answer in found)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Its processes accept connections and answer nothing."""
        pids = self.pids(name)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


class Person:
    """Somebody who has registered and signed in."""

    def __init__(self, stack: Stack, name: str = "Ann Tester") -> None:
        self.email = f"{uuid4().hex}@example.com"
        self.http = httpx.Client(base_url=stack.url, timeout=15)
        body = {"email": self.email, "name": name, "password": PASSWORD}
        self.id: str = self.http.post("/v1/users", json=body).raise_for_status().json()["id"]
        form = {"username": self.email, "password": PASSWORD}
        token = self.http.post("/v1/tokens", data=form).raise_for_status().json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def order(self, quantity: int = 1, unit_price: int = 1250) -> dict[str, Any]:
        item = {"sku": "tea", "name": "Green tea", "quantity": quantity, "unit_price": unit_price}
        answer = self.http.post("/v1/orders", json={"currency": "EUR", "items": [item]})
        placed: dict[str, Any] = answer.raise_for_status().json()
        return placed

    def dashboard(self, query: str = "", *, anew: bool = False) -> dict[str, Any]:
        headers = {"Cache-Control": "no-cache"} if anew else {}
        shown: dict[str, Any] = self.http.get(f"/v1/dashboard{query}", headers=headers).raise_for_status().json()
        return shown

    def panel(self, name: str) -> Any:
        return self.dashboard()["panels"][name]["data"]


@contextmanager
def running_stack(folder: Path, backends: Backends) -> Iterator[Stack]:
    """On the backends of the tests, with a mail catcher and services of its own."""
    stack = Stack(folder / "data", folder / "up.log")
    given = {
        "DATABASE_URL": backends.postgres.url,
        "REDIS_URL": backends.redis.url,
        "RABBITMQ_URL": backends.rabbitmq.url,
        "WORKER_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    command = [sys.executable, "-m", "services.cli", "up", "--no-demo", "--port", str(free_port())]
    with stack.log.open("w") as log:
        process = subprocess.Popen(
            [*command, "--data-dir", str(stack.folder)], env=os.environ | given, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: stack.up() or process.poll() is not None, within=240)
        if process.poll() is not None:
            raise AssertionError(f"`dashboard up` ended:\n{stack.log.read_text()}")
        yield stack
    finally:
        process.terminate()
        process.wait(30)
