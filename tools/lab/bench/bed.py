"""The environment of a benchmark: private servers, child processes with cores of their own, and a folder for their
logs."""

import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.backends import Backends, choose
from tests.support.waiting import wait_until
from tools.devstack.system.ports import accepts
from tools.devstack.system.processes import Child, Processes
from tools.lab.bench.cpu import SERVER_CORE, pinned

START_S, GRACE_S = 240.0, 2.0


class DidNotStart(Exception):
    """A process of a benchmark ended before it served; the message has the end of its log."""


@dataclass(frozen=True)
class Bed:
    backends: Backends
    folder: Path
    processes: Processes

    def start(
        self,
        name: str,
        *argv: str,
        core: int = SERVER_CORE,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        log = self.folder / f"{name}.log"
        return self.processes.spawn(name, pinned(core, *argv), log=log, env={**os.environ, **(env or {})}, cwd=cwd)

    def python(self, name: str, *argv: str, core: int = SERVER_CORE, env: Mapping[str, str] | None = None) -> Child:
        return self.start(name, sys.executable, *argv, core=core, env=env)

    def serving(self, child: Child, port: int) -> Child:
        """Wait until the process accepts connections. Raises `DidNotStart`."""
        wait_until(lambda: accepts(port) or not child.alive(), within=START_S)
        if not child.alive():
            raise DidNotStart(f"{child.name}: {child.log.read_text()[-2000:]}")
        return child

    def ready(self, child: Child, url: str) -> Child:
        """Wait until the URL answers 200. Raises `DidNotStart`."""
        wait_until(lambda: answers(url) or not child.alive(), within=START_S)
        if not child.alive():
            raise DidNotStart(f"{child.name}: {child.log.read_text()[-2000:]}")
        return child

    def end(self, *children: Child) -> None:
        for child in children:
            child.end(GRACE_S)
            self.processes.forget(child)


@contextmanager
def bed(backends: Backends | None = None) -> Iterator[Bed]:
    """Provide the environment of a benchmark: on the given servers, or on new private ones."""
    own = choose("local") if backends is None else None
    processes = Processes()
    try:
        with tempfile.TemporaryDirectory(prefix="dashboard-bench-") as folder:
            Path(folder).chmod(0o755)
            try:
                yield Bed(backends or own or choose("local"), Path(folder), processes)
            finally:
                processes.close(grace=3)
    finally:
        if own is not None:
            own.close()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  an address of ours
            return bool(response.status == 200)
    except OSError:
        return False
