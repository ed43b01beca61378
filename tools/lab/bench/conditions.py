"""The conditions of a measurement."""

import importlib.metadata
import os
import platform
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Scale:
    """The length and the number of windows. `small` shows that a benchmark still works and measures nothing. `peers` is
    whether the products that we compare with run too. `compiled` is a checkout whose modules are compiled."""

    window_s: float = 4
    rounds: int = 3
    warm_up_s: float = 1
    small: bool = False
    peers: bool = True
    compiled: Path | None = None


SMALL_WITH_PEERS = Scale(window_s=0.4, rounds=1, warm_up_s=0, small=True)
SMALL = replace(SMALL_WITH_PEERS, peers=False)


def machine() -> str:
    return f"{_processor()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"


def load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def versions(*packages: str) -> str:
    """Return the versions of Python and of those of these packages that are installed."""
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def version_of(*argv: str) -> str:
    """Return the version that a program prints."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[0]


class Conditions:
    """The conditions, recorded before and after a measurement."""

    def __init__(self, scale: Scale, *more: str) -> None:
        self._scale = scale
        self._more = more
        self._before = load()
        self._when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())

    def tell(self) -> str:
        scale = self._scale
        facts = (
            f"{self._when}; {machine()}; load average {self._before} before, {load()} after",
            f"windows of {scale.window_s:g} s, {scale.rounds} interleaved rounds; median (lowest–highest)",  # noqa: RUF001
            *self._more,
        )
        return "*" + "; ".join(facts) + ".*"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
