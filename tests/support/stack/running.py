"""The whole stack as `dashboard up` starts it, and a client that behaves like a person's."""

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.backends import Backends
from tests.support.waiting import wait_until
from tools.devstack.mailbox import Mail, Mailbox
from tools.devstack.system.ports import free_port

SERVICES = ("gateway", "users", "orders", "worker")
PASSWORD = "correct horse battery"
UP = (sys.executable, "-m", "tools.cli.main", "up", "--no-demo")
PATIENCE_S = 240.0
"""For actions that take seconds on a quiet machine, and a minute or two on a busy one."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The stack speaks plain HTTP. A client without this reads all certificates of the machine, which takes 20 ms."""


class Stack:
    """A running stack; `info` is the content of stack.json. `pid` is the supervisor's, if it is known."""

    def __init__(self, folder: Path, log: Path, pid: int | None = None) -> None:
        self.folder = folder
        self.log = log
        self.pid = pid
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
        """Return the mails to an address, without those that verify it."""
        return [mail for mail in self.mailbox.mails(to) if not mail.links()]

    def token(self, to: str) -> str:
        """Return the token of the newest link to an address, when it has arrived."""
        found: list[str] = []

        def arrived() -> bool:
            found[:] = [link for mail in self.mailbox.mails(to) for link in mail.links()]
            return bool(found)

        wait_until(arrived, PATIENCE_S)
        return found[-1].rpartition("=")[2]

    def up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=15, verify=NO_TLS).status_code == 200
        except (OSError, ValueError, KeyError, httpx.HTTPError):
            return False

    def recovered(self) -> bool:
        """Wait until every service is ready and not degraded."""
        try:
            urls = [f"{self.info[name]['url']}/readyz" for name in SERVICES]
            found = [httpx.get(url, timeout=30, verify=NO_TLS).json() for url in urls]
        except (OSError, ValueError, KeyError, httpx.HTTPError):
            return False
        return all(answer["status"] == "ready" for answer in found)

    def streams(self) -> int:
        """Return the gateway's own count of its open live streams."""
        url = f"{self.info['gateway']['internal_url']}/metrics"
        text = httpx.get(url, timeout=PATIENCE_S, verify=NO_TLS).raise_for_status().text
        [family] = [each for each in text_string_to_metric_families(text) if each.name == "gateway_streams"]
        return int(family.samples[0].value)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """During the block, its processes accept connections and do not respond."""
        with _standing_still(self.pids(name)):
            yield

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Kill its processes, and keep them from restarting during the block."""
        assert self.pid is not None
        with _standing_still([self.pid]):
            for pid in self.pids(name):
                os.kill(pid, signal.SIGKILL)
            yield


@contextmanager
def _standing_still(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


class Person:
    """A registered and signed-in user with a verified address."""

    def __init__(self, stack: Stack, name: str = "Ann Tester") -> None:
        self.email = f"{uuid4().hex}@example.com"
        self.http = httpx.Client(base_url=stack.url, timeout=PATIENCE_S, verify=NO_TLS)
        body = {"email": self.email, "name": name, "password": PASSWORD}
        self.id: str = self.http.post("/v1/users", json=body).raise_for_status().json()["id"]
        verification = {"token": stack.token(self.email)}
        self.http.post("/v1/email-verifications", json=verification).raise_for_status()
        form = {"username": self.email, "password": PASSWORD}
        token = self.http.post("/v1/tokens", data=form).raise_for_status().json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def order(
        self, quantity: int = 1, unit_price: int = 1250, currency: str = "EUR", name: str = "Green tea"
    ) -> dict[str, Any]:
        item = {"sku": "tea", "name": name, "quantity": quantity, "unit_price": unit_price}
        answer = self.http.post("/v1/orders", json={"currency": currency, "items": [item]})
        placed: dict[str, Any] = answer.raise_for_status().json()
        return placed

    def dashboard(self, query: str = "", *, no_cache: bool = False) -> dict[str, Any]:
        """Return the current dashboard, in which a panel may be stale or unavailable. Repeat the request after 503, as
        the API says."""
        headers = {"Cache-Control": "no-cache"} if no_cache else {}
        answers: list[httpx.Response] = []

        def shown() -> bool:
            answers.append(self.http.get(f"/v1/dashboard{query}", headers=headers))
            return answers[-1].status_code != httpx.codes.SERVICE_UNAVAILABLE

        wait_until(shown, PATIENCE_S)
        found: dict[str, Any] = answers[-1].raise_for_status().json()
        return found

    def dashboard_when(
        self, condition: Callable[[dict[str, Any]], object], *, no_cache: bool = False
    ) -> dict[str, Any]:
        """Return the first dashboard for which the condition holds."""
        found: list[dict[str, Any]] = []

        def holds() -> object:
            found.append(self.dashboard(no_cache=no_cache))
            return condition(found[-1])

        wait_until(holds, PATIENCE_S)
        return found[-1]

    def complete_dashboard(self) -> dict[str, Any]:
        """Return the dashboard as soon as every panel is fresh."""
        return self.dashboard_when(lambda shown: shown["complete"])

    def panel(self, name: str) -> Any:
        """Return the panel's data as soon as it is fresh."""
        return self.dashboard_when(lambda shown: shown["panels"][name]["status"] == "fresh")["panels"][name]["data"]


@contextmanager
def running_stack(
    folder: Path, backends: Backends, settings: Mapping[str, str] | None = None, up: Sequence[str] = UP
) -> Iterator[Stack]:
    """Run a stack on the backends of the tests, with its own mail catcher and services. `up` is the start of the
    command line."""
    given = {
        "DATABASE_URL": backends.postgres.url,
        "REDIS_URL": backends.redis.url,
        "RABBITMQ_URL": backends.rabbitmq.url,
        "WORKER_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        **(settings or {}),
    }
    command = [*up, "--port", str(free_port()), "--data-dir", str(folder / "data")]
    with started(command, given, folder / "up.log") as process:
        stack = Stack(folder / "data", folder / "up.log", process.pid)
        wait_until(lambda: stack.up() or process.poll() is not None, within=PATIENCE_S)
        if process.poll() is not None:
            raise AssertionError(f"`dashboard up` ended:\n{stack.log.read_text()}")
        yield stack


@contextmanager
def started(command: Sequence[str], settings: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `dashboard up` with these settings, and stop it after the block."""
    with log.open("w") as output:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
