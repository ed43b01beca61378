"""The catcher of spans as a server of the stack."""

import sys
from pathlib import Path

from services.local.ports import accepts, free_port
from services.local.processes import Processes
from services.local.servers.base import Server


class SpanCatcher(Server):
    name = "traces"

    def __init__(self, processes: Processes, traces: Path, log: Path) -> None:
        super().__init__(processes, log)
        self.traces = traces
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [sys.executable, "-m", "services.local.spancatcher"]
        argv += ["--port", str(self.port), "--traces", str(self.traces)]
        self._replace(self.processes.spawn(self.name, argv, log=self.log))
        self._until(lambda: accepts(self.port))
