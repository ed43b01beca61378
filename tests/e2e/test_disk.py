"""A full or read-only disk: the one-machine stack on a small file system of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.backends import Backends
from tests.support.backends.smtp import SmtpServer
from tests.support.backends.vhosts import empty_vhost
from tests.support.stack import tuned_up
from tests.support.stack.budgets import UNHURRIED
from tests.support.stack.running import PATIENCE_S, Person, Stack, started
from tests.support.waiting import wait_until
from tools.devstack.mailbox import Mail

pytestmark = pytest.mark.e2e

ROOM = 450 * 1024**2
"""More space than a new data folder requires."""


def _on(folder: Path, options: str) -> list[str]:
    """Return the start of a command line that mounts a file system in memory at `folder`, for that command alone."""
    mount = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mount, "sh", options, str(folder)]


@pytest.fixture(autouse=True)
def _may_mount(tmp_path: Path) -> None:
    if subprocess.run([*_on(tmp_path, "size=1m"), "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")


def _up(folder: Path) -> list[str]:
    return [sys.executable, "-m", "tools.cli.main", "up", "--no-demo", "--data-dir", str(folder / "data")]


@pytest.mark.full
@pytest.mark.parametrize(
    ("options", "reason"),
    [("ro", "cannot be used: Read-only file system"), ("size=20m", "only 20 MB are free")],
    ids=["read-only", "too small"],
)
def test_a_disk_that_will_not_do_is_one_clear_line(tmp_path: Path, options: str, reason: str) -> None:
    """It exits at once, and names the folder and the reason."""
    ended = subprocess.run([*_on(tmp_path, options), *_up(tmp_path)], capture_output=True, text=True)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("dashboard: ")
    assert str(tmp_path / "data") in line
    assert reason in line


class SmallStack(Stack):
    """A stack whose mails go to the tests' mail server: its own mailbox cannot be opened from outside of its mount."""

    def __init__(self, folder: Path, log: Path, pid: int, smtp: SmtpServer) -> None:
        super().__init__(folder, log, pid)
        self._smtp = smtp

    def mails(self, to: str) -> list[Mail]:
        return [mail for mail in self._received(to) if not mail.links()]

    def token(self, to: str) -> str:
        wait_until(lambda: any(mail.links() for mail in self._received(to)), PATIENCE_S)
        [link] = [link for mail in self._received(to) for link in mail.links()]
        return link.rpartition("=")[2]

    def _received(self, to: str) -> list[Mail]:
        received = [one for one in self._smtp.messages if to in one.recipients]
        return [Mail(0, "", one.sender, list(one.recipients), one.message.as_bytes()) for one in received]


@contextmanager
def _running(folder: Path, backends: Backends, smtp: SmtpServer, vhost_url: str) -> Iterator[Stack]:
    """Run a stack with its databases on the small file system. Its messages are separate, because other stacks of the
    tests may be running."""
    given = {
        "REDIS_URL": backends.redis.url,
        "RABBITMQ_URL": vhost_url,
        "SMTP_URL": f"smtp://127.0.0.1:{smtp.port}",
    }
    log = folder.with_suffix(".log")
    command = [*_on(folder, f"size={ROOM},mode=755"), *tuned_up.COMMAND, "--data-dir", str(folder / "data")]
    with started(command, given | UNHURRIED, log) as process:
        stack = SmallStack(Path(f"/proc/{process.pid}/root{folder}/data"), log, process.pid, smtp)
        wait_until(lambda: stack.up() or process.poll() is not None, PATIENCE_S)
        assert process.poll() is None, log.read_text()
        yield stack


@contextmanager
def _full(folder: Path) -> Iterator[None]:
    """Fill the file system completely."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 1024**2
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    try:
        yield
    finally:
        filler.unlink()


def _refused(person: Person, accepted: list[str]) -> httpx.Response:
    """Return the first response other than 201, within some hundred orders; `accepted` collects the ids of those
    before."""
    item = {"sku": "tea", "name": "t" * 200, "quantity": 1, "unit_price": 1250}
    for _ in range(500):
        answer = person.http.post("/v1/orders", json={"currency": "EUR", "items": [item] * 50})
        if answer.status_code != 201:
            return answer
        accepted.append(answer.json()["id"])
    raise AssertionError("a full disk took every order")


@pytest.mark.full
def test_a_disk_that_fills_up_loses_nothing(backends: Backends, smtp: SmtpServer, tmp_path: Path) -> None:
    """While the disk is full, orders are refused with 503. Afterwards, everything works, and accepted orders are
    stored."""
    with (
        empty_vhost(backends.rabbitmq) as vhost_url,
        _running(tmp_path, backends, smtp, vhost_url) as stack,
        closing((person := Person(stack)).http),
    ):
        accepted = [person.order()["id"]]
        wait_until(lambda: len(stack.mails(person.email)) == 1, PATIENCE_S)
        with _full(stack.folder):
            refused = _refused(person, accepted)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        wait_until(stack.recovered, PATIENCE_S)
        accepted.append(person.order()["id"])
        wait_until(lambda: person.panel("analytics")["orders"] == len(accepted), PATIENCE_S)
        wait_until(lambda: len(stack.mails(person.email)) == len(accepted), PATIENCE_S)
