"""Child processes that never outlive the process that started them."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.devstack.system.errors import StartError
from tools.devstack.system.files import write_atomically
from tools.devstack.system.identity import Identity, end_all


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
    """Starts children in sessions of their own, so that a terminal's Ctrl-C reaches only the supervisor.

    A guard process ends them when this one dies; `record` is for the next run, should the guard die too.
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
                raise StartError(f"{name} is not started: everything is being stopped")
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
        """Start it, wait for its end, return its exit code."""
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
            self._tell(_remove(folder))

    def close(self, grace: float = 5.0) -> None:
        """End what is still running, then the guard (which removes the folders it was told of)."""
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
        self._tell(_started(child))
        self._write_record()
        return child

    def _tell(self, line: str) -> None:
        """To the guard; to a new one, where it is gone, everything that still holds."""
        with self._lock:
            try:
                _write(self._guard, line)
            except BrokenPipeError:
                self._drop_guard()
                self._guard = self._start_guard()
                _write(self._guard, *map(_remove, self._folders), *map(_started, self._children.values()))

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
        # On a full disk, too, everything can be stopped; the guard knows what runs, this is for when it dies.
        with suppress(OSError):
            write_atomically(self._record, json.dumps(rows))


def end_leftovers(record: Path, grace: float = 8.0) -> list[str]:
    """End what an earlier supervisor recorded and is still there; returns the names."""
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


def _remove(folder: Path) -> str:
    return f"remove {folder}"


def _started(child: Child) -> str:
    return f"started {child.pid} {child.identity.started}"


def group_of(user: int) -> int:
    import pwd  # not on Windows

    return pwd.getpwuid(user).pw_gid


def running_as_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
