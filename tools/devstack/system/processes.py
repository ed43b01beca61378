"""Child processes that never outlive the process that started them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tools.devstack.system.errors import StartError
from tools.devstack.system.files import write_atomically


@dataclass(frozen=True)
class Identity:
    """A process by its pid, which the system may reuse, and its start.

    `started` does not change with the wall clock, unlike the time of psutil: see `_started`.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        try:
            return cls(pid, _started(pid))
        except (psutil.Error, OSError):
            return None

    def alive(self) -> bool:
        try:
            return _started(self.pid) == self.started and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its whole process group if it leads one, as every process of the stack does."""
        if not self.alive():
            return
        try:
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            pass


def _started(pid: int) -> float:
    """Return the start of a process. On Linux in ticks since boot (field 22 of proc(5)'s stat), because the kernel's
    wall-clock time of boot fluctuates."""
    stat = Path(f"/proc/{pid}/stat")
    if sys.platform == "linux":
        return float(stat.read_text().rpartition(")")[2].split()[19])
    return psutil.Process(pid).create_time()


def end_all(processes: Sequence[Identity], grace: float) -> None:
    """Send SIGTERM, and SIGKILL to what is still running after `grace` seconds."""
    for process in reversed(processes):
        process.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(process.alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        process.signal(signal.SIGKILL)


@dataclass(frozen=True)
class Child:
    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    identity: Identity

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def wait(self, timeout: float | None = None) -> int:
        return self.popen.wait(timeout)

    def end(self, grace: float, number: signal.Signals = signal.SIGTERM) -> None:
        if self.alive():
            self.identity.signal(number)
            try:
                self.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        self.identity.signal(signal.SIGKILL)
        self.wait()


class Processes:
    """Starts children in their own sessions, so that a terminal's Ctrl-C reaches only the supervisor.

    A guard process ends them when this one dies; `record` is for the next run, in case the guard dies too.
    """

    def __init__(self, record: Path | None = None, keep_open: Sequence[int] = ()) -> None:
        self._record = record
        self._keep_open = tuple(keep_open)
        self._children: dict[int, Child] = {}
        self._lock = threading.RLock()
        self._closed = False
        self._folders: list[Path] = []
        self._guard: subprocess.Popen[bytes] | None = None

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
    ) -> Child:
        with self._lock, log.open("ab") as output:
            if self._closed:
                raise StartError(f"{name} is not started: the stack is stopping")
            popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
                user=user,
                group=user and group_of(user),
                extra_groups=None if user is None else [],
            )
            return self._remember(name, popen, log)

    def run(
        self, name: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, **more: Any
    ) -> int:
        """Start a process, wait for its end, and return its exit code."""
        child = self.spawn(name, argv, log=log, env=env, **more)
        code = child.wait()
        self.forget(child)
        return code

    def forget(self, child: Child) -> None:
        with self._lock:
            if self._children.pop(child.pid, None) is not None:
                self._tell(f"ended {child.pid}")
                self._write_record()

    def remove_at_end(self, folder: Path) -> None:
        with self._lock:
            self._folders.append(folder)
            self._tell(_remove_line(folder))

    def close(self, grace: float = 5.0) -> None:
        """End all running children, then the guard (which removes the folders that it was given)."""
        with self._lock:
            self._closed = True
            children = list(self._children.values())
        end_all([child.identity for child in children], grace)
        for child in children:
            child.wait()
            self.forget(child)
        with self._lock:
            self._drop_guard()

    def _remember(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> Child:
        identity = Identity.of(popen.pid) or Identity(popen.pid, 0.0)
        child = Child(name, popen, log, identity)
        self._children[popen.pid] = child
        self._tell(_started_line(child))
        self._write_record()
        return child

    def _tell(self, line: str) -> None:
        """Write to the guard; if it has died, start a new one and send it the current state."""
        with self._lock:
            try:
                _write(self._guard, line)
            except BrokenPipeError:
                self._drop_guard()
                self._guard = self._start_guard()
                _write(self._guard, *map(_remove_line, self._folders), *map(_started_line, self._children.values()))

    def _drop_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            with suppress(BrokenPipeError):
                guard.stdin.close()
            guard.wait()

    def _start_guard(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tools.devstack.system.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=self._keep_open,
        )

    def _write_record(self) -> None:
        if self._record is None:
            return
        rows = [
            {"name": child.name, "pid": child.pid, "started": child.identity.started}
            for child in self._children.values()
        ]
        # On a full disk, too, everything can be stopped; the guard knows what runs, and this record is for when it
        # dies.
        with suppress(OSError):
            write_atomically(self._record, json.dumps(rows))


def end_leftovers(record: Path, grace: float = 8.0) -> list[str]:
    """End the processes that an earlier supervisor recorded and that are still running; return their names."""
    try:
        rows = json.loads(record.read_text())
    except (OSError, ValueError):
        return []
    left = [(row["name"], Identity(row["pid"], row["started"])) for row in rows]
    left = [(name, identity) for name, identity in left if identity.alive()]
    end_all([identity for _, identity in left], grace)
    return [name for name, _ in left]


def _write(guard: subprocess.Popen[bytes] | None, *lines: str) -> None:
    if guard is None or guard.stdin is None:
        raise BrokenPipeError
    guard.stdin.write("".join(f"{line}\n" for line in lines).encode())
    guard.stdin.flush()


def _remove_line(folder: Path) -> str:
    return f"remove {folder}"


def _started_line(child: Child) -> str:
    return f"started {child.pid} {child.identity.started}"


def group_of(user: int) -> int:
    import pwd  # not on Windows

    return pwd.getpwuid(user).pw_gid


def running_as_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
