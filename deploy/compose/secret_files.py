"""Writes ./secrets for the production shape of docker compose: a file a secret. Standard library only.

Passwords and keys that a `.env` already has are taken from there, so that a stack which runs with them goes on. The
folder can be entered by its owner alone; its files can be read by all, since in the containers it is others who do.
"""

import os
import sys
from pathlib import Path

from env import contents  # beside this file

TARGET = Path(os.environ.get("SECRETS_DIR", "secrets"))
DATABASES = ("users", "orders", "worker")


def values() -> dict[str, str]:
    """Fresh ones, or those of `.env`."""
    known = _parsed(Path(".env").read_text()) if Path(".env").exists() else {}
    return _parsed(contents()) | {name: value for name, value in known.items() if value}


def files(secrets: dict[str, str]) -> dict[str, str]:
    """By name, what each holds."""
    broker = secrets["RABBITMQ_PASSWORD"]
    same = ("INTERNAL_TOKEN_SECRET", "USERS_SIGNING_KEYS", "WORKER_WEBHOOK_SECRET_KEYS", "POSTGRES_PASSWORD")
    passwords = {name: secrets[f"{name.upper()}_DB_PASSWORD"] for name in DATABASES}
    return {
        **{name.lower(): secrets[name] for name in same},
        **{f"{name}_db_password": password for name, password in passwords.items()},
        **{f"{name}_database_url": f"postgresql://{name}:{pw}@postgres:5432/{name}" for name, pw in passwords.items()},
        "rabbitmq_password": broker,
        "rabbitmq_url": f"amqp://dashboard:{broker}@rabbitmq:5672/",
        "rabbitmq_credentials": f"default_user = dashboard\ndefault_pass = {broker}",
    }


def main() -> None:
    try:
        TARGET.mkdir(mode=0o700)
    except FileExistsError:
        sys.exit(f"{TARGET} is there already; it is left as it is")
    for name, content in files(values()).items():
        path = TARGET / name
        path.write_text(content + "\n")
        path.chmod(0o444)
    sys.stdout.write(f"wrote {TARGET}, a file a secret\n")


def _parsed(text: str) -> dict[str, str]:
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


if __name__ == "__main__":
    main()
