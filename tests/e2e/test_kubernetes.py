"""The processes of the production overlay, started as in its manifests: commands, variables and mounted secrets.

Private servers replace those of the cluster, free ports those of the pods, and a folder the storage of uploads.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.support.backends import Backends
from tests.support.backends.smtp import SmtpServer
from tests.support.waiting import wait_until
from tools.devstack.system.ports import free_port
from tools.lab.kubernetes.build import Manifest, of_kind, overlay
from tools.lab.kubernetes.environment import Data, mounted

pytestmark = pytest.mark.long

SERVICES = ("users", "orders", "worker", "gateway")
WITH_DATABASE = SERVICES[:3]
PATIENCE_S = 300
PASSWORD = "correct horse battery"


class Cluster:
    """The addresses of everything that the manifests name."""

    def __init__(self, servers: Data, folder: Path) -> None:
        self._servers = servers
        self._folder = folder
        self._ports = {name: free_port() for name in (*SERVICES, "internal")}

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self._ports[service]}"

    def probe(self, service: str, probe: str) -> str:
        [container] = template_of(service)["spec"]["containers"]
        path = container[probe]["httpGet"]["path"]
        return self.url("internal" if service == "gateway" else service) + str(path)

    def run(self, template: Manifest, container: Manifest) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("dashboard")), *container["args"]]
        told = mounted("prod", template, container, self._folder / uuid4().hex)
        return subprocess.Popen(
            command, env={"PATH": os.environ["PATH"]} | {k: self._here(k, v) for k, v in told.items()}
        )

    def _here(self, name: str, value: str) -> str:
        service, _, rest = name.partition("_")
        match rest:
            case "PORT":
                return str(self._ports[service.lower()])
            case "INTERNAL_PORT":
                return str(self._ports["internal"])
            case "HOST":
                return "127.0.0.1"
        for service in SERVICES:
            value = value.replace(f"http://{service}:8000", self.url(service))
        return self._servers.get(name, self._servers.get(rest, value))


def template_of(service: str) -> Manifest:
    template: Manifest = of_kind(overlay("prod"), "Deployment")[service]["spec"]["template"]
    return template


@pytest.fixture
def cluster(backends: Backends, smtp: SmtpServer, tmp_path: Path) -> Iterator[Cluster]:
    names = {service: f"{service}_{uuid4().hex[:12]}" for service in WITH_DATABASE}
    databases = {f"{one.upper()}_DATABASE_URL": backends.postgres.create_database(name) for one, name in names.items()}
    files = {"WORKER_SMTP_URL": smtp.url, "WORKER_STORAGE_URL": f"file://{tmp_path}/uploads"}
    shared = {"RABBITMQ_URL": backends.rabbitmq.url, "REDIS_URL": backends.redis.url}
    yield Cluster(databases | files | shared, tmp_path)
    for name in names.values():
        backends.postgres.drop_database(name)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_they_wait_for_their_schema_serve_and_end_in_time(cluster: Cluster, smtp: SmtpServer) -> None:
    """Init containers wait for the migration Jobs; every probe succeeds; an order causes its mail; and after SIGTERM
    each process exits with status 0 before the kubelet would kill it."""
    with ExitStack() as stack:
        waiting = [
            stack.enter_context(
                ended(cluster.run(template_of(service), template_of(service)["spec"]["initContainers"][0]))
            )
            for service in WITH_DATABASE
        ]
        for job in of_kind(overlay("prod"), "Job").values():
            template = job["spec"]["template"]
            with ended(cluster.run(template, template["spec"]["containers"][0])) as migrating:
                assert migrating.wait(PATIENCE_S) == 0
        assert [process.wait(PATIENCE_S) for process in waiting] == [0, 0, 0]
        serving = {
            service: stack.enter_context(
                ended(cluster.run(template_of(service), template_of(service)["spec"]["containers"][0]))
            )
            for service in SERVICES
        }
        for service in SERVICES:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                wait_until(partial(succeeds, cluster.probe(service, probe)), PATIENCE_S)
        order(cluster.url("gateway"), smtp)
        wait_until(lambda: len(smtp.messages) > 1, PATIENCE_S)
        for service, process in serving.items():
            process.send_signal(signal.SIGTERM)
            spec = template_of(service)["spec"]
            pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert process.wait(spec["terminationGracePeriodSeconds"] - pause) == 0


def succeeds(url: str) -> bool:
    try:
        return httpx.get(url, timeout=4).is_success
    except httpx.TransportError:
        return False


def order(gateway: str, smtp: SmtpServer) -> None:
    """Register, verify the address, sign in, and place an order."""
    email = f"ann-{uuid4().hex}@example.com"
    with httpx.Client(base_url=gateway, timeout=60) as client:
        client.post("/v1/users", json={"email": email, "name": "Ann", "password": PASSWORD}).raise_for_status()
        wait_until(lambda: smtp.messages, PATIENCE_S)
        text = smtp.messages[0].message.get_body(("plain",))
        link = re.search(r"token=(\S+)", text.get_content() if text else "")
        assert link
        client.post("/v1/email-verifications", json={"token": link[1]}).raise_for_status()
        token = client.post("/v1/tokens", data={"username": email, "password": PASSWORD}).json()["access_token"]
        tea = {"sku": "tea", "name": "Green tea", "quantity": 2, "unit_price": 1250}
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid4().hex}
        client.post("/v1/orders", json={"currency": "EUR", "items": [tea]}, headers=headers).raise_for_status()
