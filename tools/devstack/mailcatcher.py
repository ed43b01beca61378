"""An SMTP server that accepts every mail and delivers none: `python -m tools.devstack.mailcatcher`."""

import argparse
import asyncio
import signal
import smtplib
import sqlite3
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from tools.devstack.mailbox import Mailbox
from tools.devstack.servers.base import Server
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Processes


class MailCatcher(Server):
    """The mail catcher as a server of the stack, in its own process."""

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


class Handler:
    """Stores each mail before it is confirmed."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        try:
            content = envelope.original_content or b""
            self._mailbox.add(envelope.mail_from or "", envelope.rcpt_tos, content)
        except (OSError, sqlite3.Error) as error:
            return f"451 4.3.1 the mail could not be stored: {error}"
        return "250 OK"


async def serve(port: int, mailbox: Mailbox) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    handler = Handler(mailbox)
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="localhost", enable_SMTPUTF8=True, ident="Dashboard mail catcher"),
        host="127.0.0.1",
        port=port,
    )
    async with server:
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mailbox", type=Path, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, Mailbox(arguments.mailbox)))


if __name__ == "__main__":
    main()
