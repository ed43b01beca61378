"""`dashboard roll`: restarts each process of a running stack, one after the other, on the current code.

The supervisor of `dashboard up` restarts processes that end; this module only ends them and waits for their successors.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tools.devstack.system.errors import StackError

ORDER = ("worker", "users", "orders", "gateway")
"""Consumers of events come before producers, and servers before their clients."""
PATIENCE_S = 300.0
LOOK_EVERY_S = 0.1
Say = Callable[[str], None]


@dataclass(frozen=True)
class Rolling:
    """The process `number` (from 0) of the service `name`."""

    folder: Path
    name: str
    number: int

    @property
    def label(self) -> str:
        return self.name if self.number == 0 else f"{self.name}-{self.number + 1}"

    def pid(self) -> int | None:
        """Return the pid; None while one of the service's processes is missing."""
        told = _state(self.folder)[self.name]
        pids: list[int] = told["pids"]
        return pids[self.number] if len(pids) == len(told["urls"]) else None

    def health(self) -> str:
        """Return `ready`, `degraded`, or a description of the error."""
        url = _state(self.folder)[self.name]["urls"][self.number]
        try:
            with urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310  of our own stack
                return str(json.load(answer)["status"])
        except HTTPError as error:
            return f"status {error.code}"
        except (URLError, OSError, ValueError) as error:
            return repr(error)

    def roll(self) -> float:
        """Restart the process. Return the seconds until its successor is as healthy as it was. Raises `StackError`."""
        before, began = self.pid(), time.monotonic()
        if before is None:
            raise StackError(f"{self.label} is not running")
        well = ("ready",) if self.health() == "ready" else ("ready", "degraded")
        with suppress(ProcessLookupError):
            os.kill(before, signal.SIGTERM)
        while self.pid() in (None, before) or self.health() not in well:
            if time.monotonic() > began + PATIENCE_S:
                raise StackError(f"{self.label} is not back after {PATIENCE_S:.0f} s ({self.health()})")
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - began


def roll(folder: Path, say: Say) -> None:
    """Restart every process, one at a time. Raises `StackError` if one does not recover."""
    stack = _state(folder)
    for name in ORDER:
        replicas = len(stack[name]["urls"])
        if replicas == 1:
            say(f"{name} has one process: until its successor is ready, requests that need it fail")
        for number in range(replicas):
            one = Rolling(folder, name, number)
            say(f"{one.label}: ready again after {one.roll():.1f} s")


def databases(folder: Path) -> Mapping[str, str]:
    """Return the URLs of the databases, by service."""
    told: Mapping[str, str] = _state(folder)["postgres"]["databases"]
    return told


def _state(folder: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((folder / "stack.json").read_text())
    except (OSError, ValueError) as unreadable:
        raise StackError(f"nothing is running in {folder}: start it with `dashboard up`") from unreadable
    return told
