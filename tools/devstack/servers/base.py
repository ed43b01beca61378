"""What every private server of the stack has in common."""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from tools.devstack.system.errors import StartError
from tools.devstack.system.files import tail
from tools.devstack.system.processes import Child, Processes

START_TIMEOUT_S = 180.0
"""For a machine that is busy with other things. One that ends while it starts is noticed at once."""


class Server(ABC):
    """One supervised process, started again on the same port and data as often as it takes."""

    name: str
    grace = 6.0
    stop_signal = signal.SIGTERM

    def __init__(self, processes: Processes, log: Path) -> None:
        self.processes = processes
        self.log = log
        self._child: Child | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def start(self) -> None:
        """Return once it serves; raise StartError when it does not."""

    @property
    def pids(self) -> list[int]:
        return [self._child.pid] if self._child and self._child.alive() else []

    def wait(self) -> int:
        """Until the process has ended; its exit code, negative for a signal."""
        if self._child is None:
            raise StartError(f"{self.name} was not started")
        return self._child.wait()

    def stop(self) -> None:
        if self._child is not None:
            self._child.end(self.grace, self.stop_signal)
            self.processes.forget(self._child)

    def kill(self) -> None:
        """SIGKILL, as a fault."""
        if self._child is not None:
            self._child.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _reason(self) -> str:
        """The part of the log that is worth showing when it does not start."""
        return tail(self.log)

    def _replace(self, child: Child) -> None:
        if self._child is not None:
            self.processes.forget(self._child)
        self._child = child

    def _until(self, ready: Callable[[], bool], timeout: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            if self._child is None or not self._child.alive():
                raise StartError(self._failure("ended while starting"))
            if time.monotonic() > deadline:
                self.stop()
                raise StartError(self._failure(f"was not ready after {timeout:.0f} s"))
            time.sleep(0.05)

    def _failure(self, what: str) -> str:
        return f"{self.name} {what}; its log, {self.log}, says\n{self._reason()}"
