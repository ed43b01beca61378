"""A process as more than its pid, which the system may give to another."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Identity:
    """`started` does not change with the wall clock, as the time that psutil tells does: see `_started`."""

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
        """To its whole group when it leads one, as everything the stack starts does."""
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
    """On Linux in ticks since boot (field 22 of proc(5)'s stat): the kernel's wall-clock time of boot wavers."""
    stat = Path(f"/proc/{pid}/stat")
    if sys.platform == "linux":
        return float(stat.read_text().rpartition(")")[2].split()[19])
    return psutil.Process(pid).create_time()


def end_all(processes: Sequence[Identity], grace: float) -> None:
    """SIGTERM, and SIGKILL for what is still there after `grace` seconds."""
    for process in reversed(processes):
        process.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(process.alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        process.signal(signal.SIGKILL)
