"""The whole system in containers, as `docker compose up --build --wait` starts it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.stack.readme import command, run_example
from tests.support.stack.running import PATIENCE_S
from tests.support.waiting import wait_until
from tools.devstack.system.ports import free_port

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]


class Compose:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._environment = os.environ | {"PORT": str(port), "COMPOSE_PROJECT_NAME": f"dashboard-test-{port}"}

    def __call__(self, *arguments: str) -> str:
        command = ["docker", "compose", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def example(self, folder: Path) -> None:
        """Run the README's example."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COMPOSE_PROJECT_NAME", self._environment["COMPOSE_PROJECT_NAME"])
            patch.setenv("PORT", self._environment["PORT"])
            run_example(self.url, command(folder, sys.executable, "-m", "tests.support.stack.mailpit"))

    def mails(self) -> list[dict[str, Any]]:
        listed = self("exec", "-T", "mail", "wget", "-qO-", "http://127.0.0.1:8025/api/v1/messages")
        messages: list[dict[str, Any]] = json.loads(listed)["messages"]
        return messages


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    compose = Compose(free_port())
    try:
        compose("up", "--build", "--wait")
        yield compose
    finally:
        compose("down", "--volumes", "--timeout", "5")


def test_the_examples_of_the_readme_work_and_the_mail_arrives(compose: Compose, tmp_path: Path) -> None:
    """Register, verify, sign in, order and read the dashboard, as on one machine; the mail catcher has one confirmation
    beside the mail that verified the address."""
    compose.example(tmp_path)
    wait_until(lambda: len(compose.mails()) > 1, PATIENCE_S)
    subjects = sorted(mail["Subject"].split()[0] for mail in compose.mails())
    assert subjects == ["Verify", "Your"]


def test_demo_data_is_made_once(compose: Compose) -> None:
    """`docker compose run --rm seed` can be repeated without creating anything twice."""
    for _ in range(2):
        compose("run", "--rm", "seed")
    form = {"username": "demo@example.com", "password": "dashboard-demo"}
    token = httpx.post(f"{compose.url}/v1/tokens", data=form, timeout=PATIENCE_S).json()["access_token"]

    def orders() -> int:
        answer = httpx.get(
            f"{compose.url}/v1/dashboard", headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S
        )
        return int((answer.json()["panels"]["analytics"]["data"] or {}).get("orders", 0))

    wait_until(lambda: orders() == 120, PATIENCE_S)


def test_only_the_public_port_is_published_and_it_has_no_metrics(compose: Compose) -> None:
    """Only the gateway is reachable, and its public port has neither metrics nor internal paths."""
    published = [
        (service["Service"], port["TargetPort"])
        for service in map(json.loads, compose("ps", "--format", "json").splitlines())
        for port in service["Publishers"]
        if port["PublishedPort"]
    ]
    assert published == [("gateway", 8000)]
    assert httpx.get(f"{compose.url}/metrics", timeout=PATIENCE_S).status_code == 404
    assert httpx.post(f"{compose.url}/internal/panels/user", timeout=PATIENCE_S).status_code == 404


def test_a_container_runs_without_root_and_cannot_write(compose: Compose) -> None:
    """The services run as an ordinary user on a read-only file system."""
    assert compose("exec", "-T", "orders", "id", "-u").strip() == "10001"
    with pytest.raises(AssertionError, match="Read-only file system"):
        compose("exec", "-T", "orders", "touch", "/app/file")


def test_no_container_has_root_or_capabilities(compose: Compose) -> None:
    """The kernel reports the first process of each container as an ordinary user without capabilities, and without a
    way to gain any."""
    running = [json.loads(line)["Service"] for line in compose("ps", "--format", "json").splitlines()]
    assert {"gateway", "users", "orders", "worker", "postgres", "redis", "rabbitmq"} <= set(running)
    for service in running:
        lines = compose("exec", "-T", service, "cat", "/proc/1/status").splitlines()
        said = dict(line.split(":", 1) for line in lines)
        assert said["Uid"].split()[0] != "0", service
        assert {int(said[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {0}, service
        assert said["NoNewPrivs"].strip() == "1", service


def test_what_is_written_to_disk_goes_to_volumes(compose: Compose) -> None:
    """The root of every container but RabbitMQ's is read-only."""
    for service in ("gateway", "users", "orders", "worker", "postgres", "redis"):
        container = compose("ps", "-q", service).strip()
        root = subprocess.run(
            ["docker", "inspect", "--format", "{{.HostConfig.ReadonlyRootfs}}", container],
            capture_output=True,
            text=True,
            check=True,
        )
        assert root.stdout.strip() == "true", service
