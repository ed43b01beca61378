"""CPU time of processes and their children, and the cores that they may use."""

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

SERVER_CORE, OTHER_CORE = 0, 1
"""The measured process has a core of its own. Load, stubs and servers behind it share the other."""

IDLE_LOOK_S = 0.1


def pinned(core: int, *argv: str) -> list[str]:
    """Return the command restricted to the core; unchanged on a machine with one core."""
    wanted = core % (psutil.cpu_count() or 1)
    return ["taskset", "-c", str(wanted), *argv]


def seconds(pids: Iterable[int]) -> float:
    """Return the user and system time of these processes and their descendants. A tick is 10 ms."""
    return sum(_times(process) for process in {each for pid in pids for each in _family(pid)})


def until_idle(pid: int, within_s: float = 10) -> None:
    """Wait until the process is almost idle, or until the time is over."""
    ends = time.monotonic() + within_s
    used = seconds([pid])
    while time.monotonic() < ends:
        time.sleep(IDLE_LOOK_S)
        before, used = used, seconds([pid])
        if used - before <= IDLE_LOOK_S / 5:
            return


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _times(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0
