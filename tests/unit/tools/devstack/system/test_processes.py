import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import wait_until
from tools.devstack.system.errors import StartError
from tools.devstack.system.guard import follow
from tools.devstack.system.processes import Identity, Processes, end_leftovers

_SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path / "processes.json")
    yield made
    made.close(grace=1)


def test_the_guard_knows_what_is_left() -> None:
    """The guard ends processes that were started and have not ended, and removes the named folders."""
    alive, folders = follow(["started 1 1.5\n", "started 2 2.5\n", "ended 1\n", "remove /some where\n"])
    assert alive == [Identity(2, 2.5)]
    assert folders == [Path("/some where")]


def test_closing_ends_everything(processes: Processes, tmp_path: Path) -> None:
    """After close no child is running, and none can be started."""
    child = processes.spawn("sleep", _SLEEP, log=tmp_path / "log")
    processes.close(grace=1)
    assert not child.identity.alive()
    with pytest.raises(StartError):
        processes.spawn("sleep", _SLEEP, log=tmp_path / "log")


def test_children_do_not_get_the_terminals_signals(processes: Processes, tmp_path: Path) -> None:
    """Each child leads its own process group, so that only the supervisor handles Ctrl-C."""
    child = processes.spawn("sleep", _SLEEP, log=tmp_path / "log")
    assert os.getpgid(child.pid) == child.pid != os.getpgid(0)


def test_a_new_guard_learns_what_the_old_one_knew(processes: Processes, tmp_path: Path) -> None:
    """If the guard is killed, the next start creates another one, which still covers the end of the supervisor."""
    processes.spawn("sleep", _SLEEP, log=tmp_path / "log")
    guard = processes._guard
    assert guard is not None
    guard.kill()
    guard.wait()
    processes.spawn("sleep", _SLEEP, log=tmp_path / "log")
    assert processes._guard is not None
    assert processes._guard.poll() is None


def test_leftovers_are_ended(processes: Processes, tmp_path: Path) -> None:
    """Processes in the record of an earlier run that are still running are ended by the next run."""
    child = processes.spawn("sleep", _SLEEP, log=tmp_path / "log")
    assert end_leftovers(tmp_path / "processes.json", grace=30) == ["sleep"]
    assert child.wait() == -signal.SIGTERM


def test_another_process_with_a_recorded_pid_is_left_alone(processes: Processes, tmp_path: Path) -> None:
    """A pid alone is not enough: the start time has to match."""
    child = processes.spawn("sleep", _SLEEP, log=tmp_path / "log")
    record = tmp_path / "record"
    record.write_text(json.dumps([{"name": "x", "pid": child.pid, "started": child.identity.started - 100}]))
    assert end_leftovers(record) == []
    assert child.alive()


def test_a_killed_supervisor_takes_its_children_along(tmp_path: Path) -> None:
    """After `kill -9` of the process that started them, the children end and the folder is removed."""
    folder = tmp_path / "data"
    folder.mkdir()
    script = f"""
import os, signal
from pathlib import Path
from tools.devstack.system.processes import Processes
processes = Processes()
processes.remove_at_end(Path({str(folder)!r}))
child = processes.spawn("sleep", {_SLEEP!r}, log=Path({str(tmp_path / "log")!r}))
Path({str(tmp_path / "pid")!r}).write_text(f"{{child.pid}} {{child.identity.started}}")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    pid, started = (tmp_path / "pid").read_text().split()
    wait_until(lambda: not Identity(int(pid), float(started)).alive())
    wait_until(lambda: not folder.exists())


def test_a_process_stays_itself_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's boot time fluctuates by a second and follows the wall clock; an identity does not change."""
    me = Identity.of(os.getpid())
    assert me
    later = psutil.boot_time() + 3600
    monkeypatch.setattr(psutil, "boot_time", lambda: later)
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: later)
    assert me.alive()
