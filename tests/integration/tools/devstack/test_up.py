"""`dashboard up` in a separate process, with stand-ins for the services."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.backends import RabbitBackend
from tests.support.local import fake_service, fake_up
from tests.support.waiting import wait_until
from tools.devstack.system.databases import can_connect, fetch, with_database
from tools.devstack.system.ports import accepts, free_port
from tools.devstack.system.processes import Identity

PATIENCE_S = 240.0
_UP = str(Path(fake_up.__file__))


@dataclass
class Run:
    popen: subprocess.Popen[str]
    folder: Path
    output: Path

    def state(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "stack.json").read_text())
        return content

    def said(self) -> str:
        return self.output.read_text()

    def ready(self) -> None:
        wait_until(lambda: "Dashboard is ready" in self.said() or self.popen.poll() is not None, PATIENCE_S)
        assert self.popen.poll() is None, self.said()

    def family(self) -> list[Identity]:
        children = psutil.Process(self.popen.pid).children(recursive=True)
        return [identity for child in children if (identity := Identity.of(child.pid))]

    def stop(self) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(PATIENCE_S)


def _begin(folder: Path, *options: str, env: dict[str, str] | None = None) -> Run:
    output = folder.with_suffix(f".{time.monotonic_ns()}.out")
    with output.open("w") as file:
        popen = subprocess.Popen(
            [sys.executable, _UP, str(folder), *options],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            text=True,
        )
    return Run(popen, folder, output)


def _get(url: str, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        content: dict[str, Any] = json.loads(connection.getresponse().read())
        return content
    finally:
        connection.close()


def _answers(url: str) -> bool:
    return accepts(int(url.rpartition(":")[2]))


@pytest.fixture(scope="module")
def run(folder: Path, rabbitmq: RabbitBackend) -> Iterator[Run]:
    options = ("replicas=users=2", "seed=print('demo data')")
    begun = _begin(folder / "data", *options, env={"RABBITMQ_URL": rabbitmq.url})
    try:
        begun.ready()
        yield begun
    finally:
        begun.popen.kill()
        begun.popen.wait()


def test_it_says_where_everything_is(run: Run) -> None:
    """stack.json names each process, and the terminal shows the address and the login."""
    state = run.state()
    assert set(state) == {"gateway", "users", "orders", "worker", "postgres", "redis", "rabbitmq", "smtp", "traces"}
    assert all(psutil.pid_exists(pid) for entry in state.values() for pid in entry["pids"])
    assert len(state["users"]["urls"]) == len(state["users"]["pids"]) == 2
    assert can_connect(state["postgres"]["url"])
    assert fetch(state["postgres"]["databases"]["orders"], "SELECT current_user::text AS me")[0]["me"] == "orders"
    said = run.said()
    assert state["gateway"]["url"] in said
    assert "admin@example.com" in said
    assert "using the rabbitmq of RABBITMQ_URL" in said


def test_the_data_are_their_users_alone(run: Run) -> None:
    """No other user of the machine can enter the folder, read a file in it, or connect to a database."""
    others = stat.S_IRWXO
    assert not run.folder.stat().st_mode & (others | stat.S_IRGRP | stat.S_IWGRP)
    logs = [path for path in run.folder.glob("log/*") if path.is_file()]
    for path in (run.folder / "stack.json", run.folder / "lock", run.folder / "secrets.env", *logs):
        assert not path.stat().st_mode & (others | stat.S_IRWXG), path
    url = run.state()["postgres"]["url"]
    assert can_connect(url)
    assert not can_connect(with_database(url, "postgres", "postgres", "guessed"))


def test_services_get_their_settings(run: Run, rabbitmq: RabbitBackend) -> None:
    """Each process receives the addresses of the servers and of the others, and the secrets, in the documented
    variables."""
    state = run.state()
    env = _get(state["gateway"]["url"], "/readyz")["environment"]
    assert env["ENVIRONMENT"] == "development"
    assert env["GATEWAY_USERS_URL"] == ",".join(state["users"]["urls"])
    assert env["GATEWAY_RABBITMQ_URL"] == env["WORKER_RABBITMQ_URL"] == rabbitmq.url
    assert env["ORDERS_DATABASE_URL"] == state["postgres"]["databases"]["orders"]
    assert env["WORKER_SMTP_URL"] == state["smtp"]["url"]
    assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == state["traces"]["url"]
    assert env["TRACE_SAMPLE"] == "1"
    assert env["INTERNAL_TOKEN_SECRET"]
    assert env["USERS_SIGNING_KEYS"]


@pytest.mark.parametrize("name", ["orders", "postgres", "redis", "smtp", "traces"])
def test_what_is_killed_comes_back(run: Run, name: str) -> None:
    """A killed process is restarted at the same address, with a new pid in stack.json and a message."""
    before = run.state()[name]
    os.kill(before["pids"][0], signal.SIGKILL)
    wait_until(lambda: run.state()[name]["pids"] not in (before["pids"], []), PATIENCE_S)
    after = run.state()[name]
    assert after["url"] == before["url"]
    wait_until(lambda: f"{name} is back (pid {after['pids'][0]})" in run.said(), PATIENCE_S)
    assert f"{name} was ended by SIGKILL" in run.said()


def test_a_service_that_ends_on_its_own_comes_back(run: Run) -> None:
    """A process that exits is restarted like one that is killed."""
    url = run.state()["worker"]["url"]
    with pytest.raises((OSError, http.client.HTTPException)):
        _get(url, "/die")
    wait_until(lambda: "worker ended with exit code 3" in run.said(), PATIENCE_S)
    wait_until(lambda: _answers(url), PATIENCE_S)


@pytest.mark.full
def test_a_second_stack_on_the_same_data_is_refused(run: Run) -> None:
    """One line has the address and the pid of the running stack, which is not affected."""
    second = _begin(run.folder)
    assert second.popen.wait(PATIENCE_S) == 1
    [line] = second.said().splitlines()[-1:]
    assert f"already running at {run.state()['gateway']['url']} (pid {run.popen.pid}, " in line
    assert run.popen.poll() is None


def test_sigterm_ends_everything(run: Run) -> None:
    """SIGTERM stops everything with exit code 0 and leaves no process and no stack.json. Two Ctrl-C have the same
    effect."""
    family = run.family()
    run.popen.send_signal(signal.SIGINT)
    assert run.stop() == 0
    assert [identity for identity in family if identity.alive()] == []
    assert not (run.folder / "stack.json").exists()


@pytest.mark.full
def test_nothing_outlives_a_killed_supervisor(folder: Path, rabbitmq: RabbitBackend) -> None:
    """`kill -9` of the supervisor ends everything. If its guard is killed too, the next run ends the rest."""
    first = _begin(folder / "killed", env={"RABBITMQ_URL": rabbitmq.url})
    first.ready()
    family = first.family()
    guard = next(one for one in family if "tools.devstack.system.guard" in psutil.Process(one.pid).cmdline())
    guard.signal(signal.SIGKILL)
    first.popen.kill()
    first.popen.wait()
    assert [one for one in family if one.alive()]
    second = _begin(folder / "killed", env={"RABBITMQ_URL": rabbitmq.url})
    second.ready()
    assert "ended what an earlier run left behind" in second.said()
    assert [one for one in family if one.alive()] == []
    family = second.family()
    second.popen.kill()
    second.popen.wait()
    wait_until(lambda: not any(one.alive() for one in family), PATIENCE_S)


@pytest.mark.full
def test_changed_code_restarts_its_service(folder: Path, rabbitmq: RabbitBackend) -> None:
    """Only the changed service restarts. Code that does not start is reported with its error, and the next change is
    tried at once."""
    code = folder / "code"
    main = code / "services" / "users" / "main.py"
    main.parent.mkdir(parents=True)
    (code / "shared").mkdir()
    works = Path(fake_service.__file__).read_text()
    main.write_text(works)
    begun = _begin(folder / "reloaded", f"code={code}", env={"RABBITMQ_URL": rabbitmq.url})
    try:
        begun.ready()
        wait_until(lambda: "restarted when their code changes" in begun.said(), PATIENCE_S)
        before = begun.state()
        main.write_text(works + "\n")
        wait_until(lambda: "users restarted" in begun.said(), PATIENCE_S)
        after = begun.state()
        assert after["users"]["pids"] not in (before["users"]["pids"], [])
        assert after["orders"] == before["orders"]
        main.write_text("1 / 0\n")
        wait_until(lambda: "ZeroDivisionError" in begun.said(), PATIENCE_S)
        main.write_text(works)
        wait_until(lambda: begun.said().count("users restarted") == 2, PATIENCE_S)
        assert begun.stop() == 0
    finally:
        begun.popen.kill()
        begun.popen.wait()


def test_a_taken_port_is_one_clear_line(folder: Path) -> None:
    """If the requested port is in use, it exits at once."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        run = _begin(folder / "port", f"port={port}")
        assert run.popen.wait(PATIENCE_S) == 1
    assert run.said().splitlines() == [
        f"dashboard: port {port} is taken; choose another with --port (or PORT=… make run)"
    ]


@pytest.mark.full
def test_a_broken_service_is_told_of_with_its_log(folder: Path, rabbitmq: RabbitBackend) -> None:
    """A service that exits during the start stops the stack, and the message shows the reason."""
    run = _begin(folder / "broken", "broken=orders", env={"RABBITMQ_URL": rabbitmq.url})
    assert run.popen.wait(PATIENCE_S) == 1
    assert "orders ended while starting" in run.said()
    assert "ZeroDivisionError" in run.said()
    assert not (folder / "broken" / "stack.json").exists()


@pytest.mark.full
def test_an_unreachable_server_is_named(folder: Path) -> None:
    """An unreachable URL is reported on one line with its variable."""
    env = {"RABBITMQ_URL": f"amqp://guest:guest@127.0.0.1:{free_port()}/"}
    run = _begin(folder / "unreachable", env=env)
    assert run.popen.wait(PATIENCE_S) == 1
    assert "dashboard: RABBITMQ_URL: nothing answers on 127.0.0.1" in run.said()
