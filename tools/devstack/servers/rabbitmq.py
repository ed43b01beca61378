"""A private RabbitMQ node from the system's installation, with all its files in one folder."""

import base64
import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
from functools import cached_property
from pathlib import Path

from tools.devstack.servers.base import Server
from tools.devstack.system.errors import StartError
from tools.devstack.system.files import write_atomically
from tools.devstack.system.ports import accepts, free_port
from tools.devstack.system.processes import Child, Processes

DEFINITIONS = Path(__file__).parents[3] / "deploy" / "rabbitmq" / "definitions.json"

_SCRIPT_FOLDERS = (
    "/usr/lib/rabbitmq/bin",  # Debian, Fedora: the scripts that their wrappers in /usr/sbin call as another user
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/opt/rabbitmq/sbin",
)
_ERLANG_ROOTS = (
    "/usr/lib/erlang",
    "/usr/lib64/erlang",
    "/opt/homebrew/opt/erlang/lib/erlang",
    "/opt/erlang/lib/erlang",
)


_CTL_TIMEOUT = 180
_GREETING = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = 1


class RabbitMQ(Server):
    name = "rabbitmq"
    grace = 8.0

    def __init__(self, processes: Processes, folder: Path, log: Path) -> None:
        super().__init__(processes, log)
        self.folder = folder.resolve()
        self.port = free_port()
        self._distribution_port = free_port()
        self._epmd_port = free_port()
        self._epmd: Child | None = None
        self._log_start = 0

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        scripts = self._scripts
        self._write_files()
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._start_epmd()
        server = [str(scripts / "rabbitmq-server")]
        self._replace(self.processes.spawn(self.name, server, log=self.log, env=self._environment, cwd=self.folder))
        self._until(lambda: answers_amqp(self.port))

    def stop(self) -> None:
        super().stop()
        if self._epmd is not None:
            self._epmd.end(grace=2)
            self.processes.forget(self._epmd)
            self._epmd = None

    def rabbitmqctl(self, *arguments: str) -> str:
        """Return its output, without the banner; raises StartError with its message if it fails."""
        argv = [str(self._scripts / "rabbitmqctl"), "--quiet", *arguments]
        done = subprocess.run(
            argv,
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CTL_TIMEOUT,
            check=False,
        )
        if done.returncode != 0:
            raise StartError(f"rabbitmqctl {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _reason(self) -> str:
        """Return the first errors since this start; later ones are Erlang's reports of the same errors."""
        text = self.log.read_bytes()[self._log_start :].decode(errors="replace")
        said = (line.partition("> ")[2].strip() for line in text.splitlines() if "[error]" in line)
        errors = list(dict.fromkeys(error for error in said if error))
        return "\n".join(f"    {error}" for error in errors[:8]) or super()._reason()

    @cached_property
    def _scripts(self) -> Path:
        scripts = find_scripts()
        if scripts is None:
            raise StartError(
                "RabbitMQ is not installed. Install it (Debian: `sudo apt-get install rabbitmq-server`, "
                "macOS: `brew install rabbitmq`) or say where one runs: RABBITMQ_URL=amqp://user:password@host/"
            )
        return scripts

    def _write_files(self) -> None:
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        # Erlang would create one itself, which on a full disk is empty and never replaced.
        if not (home / ".erlang.cookie").exists():
            write_atomically(home / ".erlang.cookie", secrets.token_hex(16), mode=0o400)
        (self.folder / "definitions.json").write_text(definitions_text("guest", "guest"))
        (self.folder / "rabbitmq.conf").write_text(config_text(self.port, self.folder / "definitions.json"))
        (self.folder / "enabled_plugins").write_text("[].\n")

    def _start_epmd(self) -> None:
        """Start epmd in the foreground as our child; a detached one would keep running."""
        epmd = find_epmd()
        if epmd is None or accepts(self._epmd_port):
            return
        argv = [str(epmd), "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        if self._epmd is not None:
            self.processes.forget(self._epmd)
        self._epmd = self.processes.spawn("epmd", argv, log=self.log, env=self._environment, cwd=self.folder)

    @cached_property
    def _environment(self) -> dict[str, str]:
        folder = self.folder
        # Only one node per folder, and never the name of another node on this machine.
        node = f"dashboard-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}@localhost"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        return inherited | {
            "HOME": str(folder / "home"),  # where Erlang keeps its cookie
            "RABBITMQ_NODENAME": node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CTL_DIST_PORT_MIN": "0",
            "RABBITMQ_CTL_DIST_PORT_MAX": "0",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            # The node shares the cores with everything else, so its idle threads must not spin.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"
            " +sbwt none +sbwtdcpu none +sbwtdio none",
            "ERL_CRASH_DUMP_SECONDS": "0",
            # Lets the script become the server, instead of waiting for it as a second process.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def answers_amqp(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), 1) as connection:
            connection.settimeout(2)
            connection.sendall(_GREETING)
            return connection.recv(1)[:1] == bytes([_METHOD_FRAME])
    except OSError:
        return False


def find_scripts() -> Path | None:
    """Return the folder that contains rabbitmq-server and rabbitmqctl."""
    on_path = shutil.which("rabbitmq-server")
    folders = [Path(folder) for folder in _SCRIPT_FOLDERS]
    folders += [Path(on_path).resolve().parent] if on_path else []
    return next((folder for folder in folders if (folder / "rabbitmqctl").exists()), None)


def find_epmd() -> Path | None:
    on_path = shutil.which("epmd")
    if on_path:
        return Path(on_path)
    return next((epmd for root in _ERLANG_ROOTS for epmd in Path(root).glob("erts-*/bin/epmd")), None)


def config_text(port: int, definitions: Path) -> str:
    return f"listeners.tcp.1 = 127.0.0.1:{port}\nload_definitions = {definitions}\n"


def definitions_text(user: str, password: str) -> str:
    """Return the project's policies, with the user and vhost that RabbitMQ omits if it is given definitions."""
    account = {"name": user, "password_hash": _password_hash(password), "tags": "administrator"}
    account["hashing_algorithm"] = "rabbit_password_hashing_sha256"
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    shared = json.loads(DEFINITIONS.read_text())
    own = {
        "users": [account],
        "vhosts": [{"name": "/"}],
        "permissions": [{"user": user, "vhost": "/", **everything}],
    }
    return json.dumps(own | shared, indent=2)


def _password_hash(password: str) -> str:
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
