"""Writes the secrets that overlays/prod names, each fresh, for `kubectl create -f -`. Standard library only.

  SMTP_URL=smtps://… AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… \\
    python3 deploy/k8s/make_secrets.py | kubectl --namespace dashboard create -f -

`create`, not `apply`: what is there already is left as it is: databases know the passwords.
"""

import base64
import json
import os
import secrets
import sys
from collections.abc import Iterator
from typing import Any

TOLD = ("SMTP_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""What cannot be made up here."""

BASIC = "kubernetes.io/basic-auth"

RELOAD = {"cnpg.io/reload": "true"}
"""With this label CloudNativePG sets the role's password as soon as the secret changes."""


def manifests(told: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Passwords are letters, digits, - and _: they stand in URLs."""
    seed = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    yield _secret("internal-token", token=secrets.token_urlsafe(48))
    yield _secret("users-signing-keys", keys=seed)
    yield _secret("worker-webhook-keys", keys=secrets.token_urlsafe(48))
    for name in ("users", "orders", "worker"):
        login = {"username": name, "password": secrets.token_urlsafe(24)}
        yield _secret(f"{name}-database", BASIC, **login) | {"metadata": {"name": f"{name}-database", "labels": RELOAD}}
    for name in ("dashboard", "keda"):
        yield _secret(f"rabbitmq-{name}", BASIC, username=name, password=secrets.token_urlsafe(24))
    yield _secret("redis", password=secrets.token_urlsafe(24))
    yield _secret("smtp", url=told["SMTP_URL"])
    keys = {"access-key-id": told["AWS_ACCESS_KEY_ID"], "secret-access-key": told["AWS_SECRET_ACCESS_KEY"]}
    yield _secret("storage", **keys)


def _secret(name: str, kind: str = "Opaque", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": data}


def main() -> None:
    if missing := [name for name in TOLD if not os.environ.get(name)]:
        sys.exit(f"not set: {', '.join(missing)}")
    items = list(manifests({name: os.environ[name] for name in TOLD}))
    sys.stdout.write(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1) + "\n")


if __name__ == "__main__":
    main()
