"""Writes a `.env` for docker compose with secrets of its own. Keeps one that is there. Standard library only."""

import base64
import os
import secrets
import sys
from pathlib import Path

TARGET = Path(".env")


def contents() -> str:
    """The settings of a small production, each secret fresh."""
    seed = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    passwords = (
        "POSTGRES_PASSWORD",
        "USERS_DB_PASSWORD",
        "ORDERS_DB_PASSWORD",
        "WORKER_DB_PASSWORD",
        "RABBITMQ_PASSWORD",
        "GRAFANA_PASSWORD",
    )
    lines = [
        "ENVIRONMENT=production",
        f"INTERNAL_TOKEN_SECRET={secrets.token_urlsafe(48)}",
        f"USERS_SIGNING_KEYS={seed}",
        f"WORKER_WEBHOOK_SECRET_KEYS={secrets.token_urlsafe(48)}",
        *(f"{name}={secrets.token_urlsafe(24)}" for name in passwords),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    try:
        file = os.open(TARGET, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        sys.exit(f"{TARGET} is there already; it is left as it is")
    with os.fdopen(file, "w") as out:
        out.write(contents())
    sys.stdout.write(f"wrote {TARGET}: ENVIRONMENT=production and fresh secrets\n")


if __name__ == "__main__":
    main()
