"""The data folder: checked, held by one stack at a time, private to its user, with the stack's secrets."""

import base64
import errno
import fcntl
import json
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from tools.devstack.plan import DATA_SERVICES
from tools.devstack.system.errors import AlreadyRunning, DataDirError
from tools.devstack.system.files import write_atomically
from tools.devstack.system.processes import Identity

_NEEDED_NEW = 400 * 1024**2
_NEEDED = 150 * 1024**2
_FULL = 16 * 1024**2
# The time that the guard of a killed stack may need to end its processes.
_LEFTOVER_WAIT = 20.0


class DataDir:
    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "log"
        self.record = self.path / "processes.json"
        self.mailbox = self.path / "mail.sqlite"
        self.traces = self.path / "traces.sqlite"
        self.uploads = self.path / "uploads"
        self.lock: int = -1

    def take(self) -> None:
        """Create and hold the folder; raises AlreadyRunning if a live stack holds it."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self._check_space()
            self._take_lock()
            self.path.chmod(0o700)
        except OSError as error:
            raise DataDirError(f"the data folder {self.path} cannot be used: {error.strerror}") from error

    def release(self) -> None:
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def secrets(self) -> dict[str, str]:
        """Return the secrets, which are created once per data folder."""
        path = self.path / "secrets.env"
        known = _parse(path.read_text()) if path.exists() else {}
        complete = _fresh_secrets() | known
        if complete != known:
            write_atomically(path, "".join(f"{key}={value}\n" for key, value in complete.items()), 0o600)
        return complete

    def is_full(self) -> bool:
        return shutil.disk_usage(self.path).free < _FULL

    def _check_space(self) -> None:
        needed = _NEEDED if (self.path / "postgres").exists() else _NEEDED_NEW
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise DataDirError(
                f"only {free // 1024**2} MB are free where the data folder {self.path} is; "
                f"the servers need {needed // 1024**2} MB"
            )

    def _take_lock(self) -> None:
        self.lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _LEFTOVER_WAIT
        while not _lock(self.lock):
            holder = self._holder()
            if (holder is not None and holder.alive()) or time.monotonic() > deadline:
                self.release()
                pid = holder.pid if holder else "unknown"
                raise AlreadyRunning(
                    f"already running{self._where()} (pid {pid}, data folder {self.path}); stop it first"
                )
            time.sleep(0.1)
        me = Identity.of(os.getpid())
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, json.dumps([os.getpid(), me.started if me else 0.0]).encode(), 0)

    def _where(self) -> str:
        with suppress(OSError, ValueError, LookupError, TypeError):
            return f" at {json.loads((self.path / 'stack.json').read_text())['gateway']['url']}"
        return ""

    def _holder(self) -> Identity | None:
        try:
            pid, started = json.loads(os.pread(self.lock, 200, 0))
        except ValueError:
            return None
        return Identity(pid, started)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _parse(text: str) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in text.splitlines()) if value}


def _fresh_secrets() -> dict[str, str]:
    seed = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    fresh = {
        "INTERNAL_TOKEN_SECRET": secrets.token_urlsafe(32),
        "USERS_SIGNING_KEYS": seed,
        "WORKER_WEBHOOK_SECRET_KEYS": secrets.token_urlsafe(32),
    }
    return fresh | {f"{name.upper()}_DATABASE_PASSWORD": secrets.token_urlsafe(24) for name in DATA_SERVICES}
