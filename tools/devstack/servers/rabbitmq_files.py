"""Locations of the scripts of a RabbitMQ installation, and the configuration of a private node."""

import base64
import hashlib
import json
import secrets
import shutil
from pathlib import Path

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
