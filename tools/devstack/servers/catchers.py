"""The mail catcher as a server of the stack."""

import smtplib
import sys
from pathlib import Path

from tools.devstack.servers.base import Server
from tools.devstack.system.ports import accepts, free_port
from tools.devstack.system.processes import Processes


class MailCatcher(Server):
    name = "smtp"

    def __init__(self, processes: Processes, mailbox: Path, log: Path) -> None:
        super().__init__(processes, log)
        self.mailbox = mailbox
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [sys.executable, "-m", "tools.devstack.mailcatcher"]
        argv += ["--port", str(self.port), "--mailbox", str(self.mailbox)]
        self._replace(self.processes.spawn(self.name, argv, log=self.log))
        self._until(self._greets)

    def _greets(self) -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=10):
                return True
        except OSError:
            return False


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
        argv = [sys.executable, "-m", "tools.devstack.spancatcher"]
        argv += ["--port", str(self.port), "--traces", str(self.traces)]
        self._replace(self.processes.spawn(self.name, argv, log=self.log))
        self._until(lambda: accepts(self.port))
