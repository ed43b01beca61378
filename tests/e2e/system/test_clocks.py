"""A gateway on another host with a wrong clock, next to one with the right time."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.clocks import needs_faketime, shifted
from tests.support.stack.running import NO_TLS, PASSWORD, PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until
from tools.devstack.system.ports import free_port

DAY_S = 86_400
ORDER = {"currency": "EUR", "items": [{"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price": 1250}]}

pytestmark = [pytest.mark.e2e, pytest.mark.full, needs_faketime]


@contextmanager
def gateway(stack: Stack, offset_s: int, log: Path) -> Iterator[httpx.Client]:
    """Run another gateway with the settings of the stack."""
    settings = Path(f"/proc/{stack.pids('gateway')[0]}/environ").read_bytes().decode().split("\0")
    port = free_port()
    ports = {"GATEWAY_PORT": str(port), "GATEWAY_INTERNAL_PORT": str(free_port())}
    env = dict(setting.split("=", 1) for setting in settings if "=" in setting) | ports
    command = [*shifted(offset_s), sys.executable, "-m", "tools.cli.main", "serve", "gateway"]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, verify=NO_TLS) as http:
            wait_until(lambda: answers(http), PATIENCE_S)
            yield http
    finally:
        process.kill()
        process.wait()


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/livez").is_success
    except httpx.HTTPError:
        return False


def sign_in(http: httpx.Client, person: Person) -> None:
    form = {"username": person.email, "password": PASSWORD}
    token = http.post("/v1/tokens", data=form).raise_for_status().json()["access_token"]
    http.headers["Authorization"] = f"Bearer {token}"


@pytest.mark.parametrize("offset_s", [30, -30])
def test_half_a_minute_is_no_matter(stack: Stack, person: Person, offset_s: int, tmp_path: Path) -> None:
    """Clients and services accept its tokens: every panel is read, and orders are placed."""
    with gateway(stack, offset_s, tmp_path / "log") as http:
        sign_in(http, person)
        assert http.post("/v1/orders", json=ORDER).status_code == 201

        def is_complete() -> bool:
            panels = http.get("/v1/dashboard", headers={"Cache-Control": "no-cache"}).json()["panels"]
            return {panel["status"] for panel in panels.values()} == {"fresh"}

        wait_until(is_complete, PATIENCE_S)


@pytest.mark.parametrize("offset_s", [400 * DAY_S, -400 * DAY_S])
def test_a_year_is_refused_and_harms_nobody(stack: Stack, person: Person, offset_s: int, tmp_path: Path) -> None:
    """It places no order and ends no session. At the other gateway the same person can continue."""
    with gateway(stack, offset_s, tmp_path / "log") as http:
        http.headers["Authorization"] = person.http.headers["Authorization"]
        assert http.post("/v1/orders", json=ORDER).status_code in (401, 503)
        assert http.get("/v1/dashboard").status_code in (401, 503)
        assert person.http.get("/v1/orders").json()["items"] == []
        assert person.order()["status"] == "created"
